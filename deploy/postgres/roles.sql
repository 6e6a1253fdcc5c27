-- The least each part needs: three roles for one schema. Run it once, as a superuser or the database's owner, on the database
-- Holdfast is to use:
--
--     psql -v ON_ERROR_STOP=1 -v database=shop -v schema=holdfast -f roles.sql postgresql://postgres@db.example.com/shop
--
-- It gives nobody a password: do that afterwards, for the two that log in to serve and to migrate, and for each person who
-- reads (a role of their own, with GRANT holdfast_reader TO them). Running it again changes nothing.
--
--     holdfast_owner    owns the tables: `holdfast migrate up` and `holdfast projection rebuild`
--     holdfast_server   what `holdfast serve` runs as (with postgres.migrate_on_start = false): rows only, no tables
--     holdfast_reader   analysts: may look at everything and change nothing. Everything is also the entities' snapshots, which
--                       hold the payment gateway's tokens in a binary form
--
-- Whoever wants one role for all leaves this out: postgres.migrate_on_start then makes the schema, as its owner.

\if :{?database} \else \set database shop
\endif
\if :{?schema} \else \set schema holdfast
\endif

SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY['holdfast_owner', 'holdfast_server']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT 'CREATE ROLE holdfast_reader' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_reader') \gexec

-- Nobody gets in who was not let in.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO holdfast_owner, holdfast_server, holdfast_reader;
-- A rebuild fills a schema of its own beside the live one, and then takes its place.
GRANT CREATE ON DATABASE :"database" TO holdfast_owner;

SELECT format('CREATE SCHEMA %I', :'schema')
    WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = :'schema') \gexec
ALTER SCHEMA :"schema" OWNER TO holdfast_owner;
GRANT USAGE ON SCHEMA :"schema" TO holdfast_server, holdfast_reader;

-- What is there, if anything is.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA :"schema" TO holdfast_server;
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO holdfast_reader;

-- What the owner will make, here and in the schema of a rebuild.
ALTER DEFAULT PRIVILEGES FOR ROLE holdfast_owner GRANT USAGE ON SCHEMAS TO holdfast_server, holdfast_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE holdfast_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO holdfast_server;
ALTER DEFAULT PRIVILEGES FOR ROLE holdfast_owner GRANT SELECT ON TABLES TO holdfast_reader;

-- A long report ends by itself, and cannot write even by mistake.
ALTER ROLE holdfast_reader SET default_transaction_read_only = on;
ALTER ROLE holdfast_reader SET statement_timeout = '15min';
