from torchvision import refuse

draw_bounding_boxes = draw_segmentation_masks = refuse
