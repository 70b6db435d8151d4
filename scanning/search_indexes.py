"""What the scans of a run are searched by on PostgreSQL: see console.db.trigram_indexes."""

INDEXES = {
    "scan_address_search": 'ON "scanning_scan" USING gin (UPPER("address"::text) gin_trgm_ops)',
    "scan_reason_search": 'ON "scanning_scan" USING gin (UPPER("reason"::text) gin_trgm_ops)',
}
