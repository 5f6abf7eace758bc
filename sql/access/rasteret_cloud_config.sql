-- How the files of a dataset are reached: registers what is given, shows what there is.
CREATE OR REPLACE MACRO rasteret_cloud_config(
  dataset, provider := NULL, requester_pays := NULL, region := NULL, url_patterns := NULL
) AS TABLE
  SELECT unnest(__rasteret_cloud_config(CAST(json_object(
    'dataset', dataset, 'provider', provider, 'requester_pays', requester_pays, 'region', region,
    'url_patterns', url_patterns
  ) AS VARCHAR)), max_depth := 2);
