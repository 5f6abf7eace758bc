-- Limits, timeouts, cache sizes and named backends; what is given is changed.
CREATE OR REPLACE MACRO rasteret_settings(
  max_requests := NULL, max_requests_per_host := NULL, connect_timeout := NULL, request_timeout := NULL,
  retries := NULL, retry_window := NULL, whole_file_bytes := NULL, cache_bytes := NULL, max_call_bytes := NULL,
  on_error := NULL, on_change := NULL
) AS TABLE
  SELECT unnest(__rasteret_settings(CAST(json_object(
    'max_requests', max_requests, 'max_requests_per_host', max_requests_per_host,
    'connect_timeout', connect_timeout, 'request_timeout', request_timeout, 'retries', retries,
    'retry_window', retry_window, 'whole_file_bytes', whole_file_bytes, 'cache_bytes', cache_bytes,
    'max_call_bytes', max_call_bytes, 'on_error', on_error, 'on_change', on_change
  ) AS VARCHAR)), max_depth := 2);
