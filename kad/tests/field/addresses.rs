//! Which addresses a node has, tells and believes.
