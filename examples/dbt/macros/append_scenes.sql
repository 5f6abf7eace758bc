{# Adds new scenes of the catalog: dbt run-operation append_scenes --args '{name: slovenia}' #}
{% macro append_scenes(name) %}
  {% do log(run_query("FROM rasteret_append('" ~ name ~ "')").rows[0].dict(), info=True) %}
{% endmacro %}
