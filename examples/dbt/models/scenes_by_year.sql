-- Scenes of a cached collection, through the plugin's source.
SELECT year(datetime) AS year, count(*) AS scenes, count_if(status = 'ok') AS readable
FROM {{ source('collections', 'slovenia') }}
GROUP BY ALL
ORDER BY ALL
