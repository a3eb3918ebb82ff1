extern "C" __attribute__((visibility("default"))) int attometer_run(const Call* given, int64_t size) {
    if (!given || size != (int64_t)sizeof(Call)) return NULL_POINTER;
    Call call = *given;
    if (int code = refused(call, sizeof(T), sizeof(Stored), BACKWARD)) return code;
    if (!permitted()) return NOT_PERMITTED;
    // Tiles start where blocks of both operands do.
    call.tile_rows = round_up(call.tile_rows, BACKWARD ? PANEL : ROWS);
    call.tile_columns = round_up(call.tile_columns, BACKWARD ? ROWS * PAIR : PANEL * PAIR);
    try {
        return run(call);
    } catch (...) {
        return NO_MEMORY;
    }
}
