"""What Repository images is searched by on PostgreSQL: see console.db.trigram_indexes."""

INDEXES = {
    "tag_address_search": 'ON "inventory_tag" USING gin (UPPER("address"::text) gin_trgm_ops)',
    "tag_name_search": 'ON "inventory_tag" USING gin (UPPER("name"::text) gin_trgm_ops)',
}
