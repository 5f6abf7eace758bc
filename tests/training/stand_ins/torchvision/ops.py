from torchvision import refuse

clip_boxes_to_image = remove_small_boxes = refuse
