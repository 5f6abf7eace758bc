-- Items of a STAC API or static catalog, page by page as they are asked for; no file is opened.
CREATE OR REPLACE MACRO rasteret_stac_search(
  stac_api, collection := NULL, bbox := NULL, date_range := NULL, query := NULL, page_size := NULL,
  backend := NULL, headers := NULL
) AS TABLE
  WITH RECURSIVE
    __asked AS MATERIALIZED (
      SELECT CAST(json_object(
        'stac_api', stac_api, 'collection', collection, 'bbox', bbox, 'date_range', date_range, 'query', query,
        'page_size', page_size, 'backend', backend, 'headers', headers
      ) AS VARCHAR) AS __text
    ),
    -- a step reads one page, and DuckDB makes it when all items before it have been used
    __pages AS (
      SELECT __text, __rasteret_stac_page(__text, NULL, 0, epoch_us(now())) AS __page
      FROM __asked
      WHERE __rasteret_watch(true)
      UNION ALL
      SELECT __text, __rasteret_stac_page(__text, __page.token, __page.number + 1, epoch_us(now()))
      FROM __pages
      WHERE NOT __page.done
    )
  SELECT
    struct_extract(__item, 'id') AS id,
    struct_extract(__item, 'collection') AS collection,
    struct_extract(__item, 'datetime') AS datetime,
    st_geomfromwkb(struct_extract(__item, 'geometry')) AS geometry,
    struct_extract(__item, 'bbox') AS bbox,
    CAST(struct_extract(__item, 'properties') AS JSON) AS properties,
    CAST(struct_extract(__item, 'assets') AS JSON) AS assets,
    CAST(struct_extract(__item, 'links') AS JSON) AS links,
    struct_extract(__item, 'stac_version') AS stac_version
  FROM (SELECT unnest(__page.items) AS __item FROM __pages);
