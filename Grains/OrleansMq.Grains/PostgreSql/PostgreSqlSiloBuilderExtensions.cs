using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Runtime.Hosting;
using Orleans.Serialization.Serializers;
using Orleans.Storage;
using OrleansMq.Grains.PostgreSql;

namespace Orleans.Hosting;

/// <summary>Members and grain state in PostgreSQL, over Orleans' ADO.NET providers and the schema of <c>deploy/postgres/</c>.</summary>
public static class PostgreSqlSiloBuilderExtensions
{
    /// <summary>How the providers name Npgsql.</summary>
    private const string Invariant = "Npgsql";

    /// <summary>The silo finds the others of its cluster, and is found, through PostgreSQL. The schema must be there:
    /// <c>omq db migrate</c>.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="connectionString">Npgsql's; every silo and client of the cluster names the same database.</param>
    public static ISiloBuilder UsePostgreSqlClustering(this ISiloBuilder silo, string connectionString) =>
        silo.UseAdoNetClustering(options => (options.Invariant, options.ConnectionString) = (Invariant, connectionString));

    /// <summary>The client finds the silos of its cluster through PostgreSQL.</summary>
    /// <param name="client">The client.</param>
    /// <param name="connectionString">Npgsql's, as the silos have it.</param>
    public static IClientBuilder UsePostgreSqlClustering(this IClientBuilder client, string connectionString) =>
        client.UseAdoNetClustering(options => (options.Invariant, options.ConnectionString) = (Invariant, connectionString));

    /// <summary>
    /// Grain state in PostgreSQL, as JSON. Every write is a compare-and-swap, the first one too: of two that write a new grain's state one
    /// gets an <see cref="InconsistentStateException"/>. What is cleared is deleted, and no etag from before fits what is written after.
    /// </summary>
    /// <param name="services">The silo's services.</param>
    /// <param name="name">The name under which grains ask for it.</param>
    /// <param name="connectionString">Npgsql's.</param>
    /// <param name="json">How the state's types are written.</param>
    /// <remarks>The cluster's service id is part of every state's key.</remarks>
    public static IServiceCollection AddPostgreSqlGrainStorage(this IServiceCollection services, string name, string connectionString,
        JsonSerializerOptions json) =>
        services.AddGrainStorage(name, (provided, _) => new ExactKeyGrainStorage(new AdoNetGrainStorage(
            provided.GetRequiredService<IActivatorProvider>(),
            provided.GetRequiredService<ILogger<AdoNetGrainStorage>>(),
            Options.Create(new AdoNetGrainStorageOptions
            {
                Invariant = Invariant,
                ConnectionString = connectionString,
                DeleteStateOnClear = true,
                GrainStorageSerializer = new JsonStateSerializer(json),
            }),
            provided.GetRequiredService<IOptions<ClusterOptions>>(),
            name)));
}
