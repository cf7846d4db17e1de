//! The installation's one row, its clients and its sites.
