-- Scenes until a day. Ephemeral: a view in the database file could not be read without the plugin.
{{ config(materialized='ephemeral') }}

SELECT id, datetime
FROM {{ source('collections', 'slovenia') }}
WHERE datetime < '{{ var("before") }}'
