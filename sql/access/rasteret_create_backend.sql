-- A backend by name, for all connections of the database; its secrets are in no plan and in no row.
CREATE OR REPLACE MACRO rasteret_create_backend(
  name,
  credential_provider := NULL, region := NULL, default_s3_config := NULL, cloud_config := NULL, secret := NULL,
  profile := NULL, credentials_url := NULL
) AS TABLE
  SELECT *
  FROM query(__rasteret_create_backend(CAST(json_object(
    'name', name, 'credential_provider', credential_provider, 'region', region,
    'default_s3_config', default_s3_config, 'cloud_config', cloud_config, 'secret', secret, 'profile', profile,
    'credentials_url', credentials_url
  ) AS VARCHAR)));
