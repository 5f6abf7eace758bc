-- Scenes of each year, of the source.
SELECT year(datetime) AS year, count(*) AS scenes, count_if(status = 'ok') AS readable
FROM {{ source('collections', 'slovenia') }}
GROUP BY ALL
ORDER BY ALL
