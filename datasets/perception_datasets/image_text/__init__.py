"""Pictures with texts: questions with answers (VQAv2), and captions (Flickr8k, Flickr30k, COCO)."""
