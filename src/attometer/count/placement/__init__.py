"""What each rank of a placement holds, computes, moves and sends: counted from the Programs that are cut."""
