<<<<<<< HEAD
"""Pictures, and how a model reads them."""
=======
"""Pictures of cameras."""
>>>>>>> room/pictures
