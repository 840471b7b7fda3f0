"""Where the networks were published."""

from larq_bcd.models.registry import Paper

BCDNET = Paper("BCDNet", "ECCV 2022", "2209.01404")
REACTNET = Paper("ReActNet", "ECCV 2020", "2003.03488")
