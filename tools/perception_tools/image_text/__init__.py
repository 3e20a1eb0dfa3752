"""Questions about pictures, and captions of them: training and evaluating models of pictures with texts."""
