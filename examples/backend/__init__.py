"""A small HTTP backend on Stepline: views are batches of reads, tasks are writes in a lane and reads after them."""
