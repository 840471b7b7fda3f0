"""Where the networks were published."""

from larq_bcd.models.registry import Paper

BCDNET = Paper("BCDNet", "ECCV 2022", "2209.01404")
REACTNET = Paper("ReActNet", "ECCV 2020", "2003.03488")
BIREAL = Paper("Bi-Real Net", "ECCV 2018", "1808.00278")
MOBILENET = Paper("MobileNets", "2017", "1704.04861")
RESNET = Paper("ResNet", "CVPR 2016", "1512.03385")
DYSIGN = Paper("DySign", "2022", "2211.02292")
BNEXT = Paper("BNext", "2022", "2211.12933")
