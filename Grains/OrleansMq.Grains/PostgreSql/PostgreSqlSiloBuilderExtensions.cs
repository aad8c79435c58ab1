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

/// <summary>Membership and grain state in PostgreSQL, over Orleans' ADO.NET providers and the schema of <c>deploy/postgres/</c>.</summary>
public static class PostgreSqlSiloBuilderExtensions
{
    /// <summary>The providers' name for Npgsql.</summary>
    private const string Invariant = "Npgsql";

    /// <summary>Clusters the silo through PostgreSQL. The schema must exist: <c>omq db migrate</c>.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="connectionString">An Npgsql connection string; every silo and client of the cluster names the same database.</param>
    public static ISiloBuilder UsePostgreSqlClustering(this ISiloBuilder silo, string connectionString) =>
        silo.UseAdoNetClustering(options => (options.Invariant, options.ConnectionString) = (Invariant, connectionString));

    /// <summary>Connects the client to the silos that are registered in PostgreSQL.</summary>
    /// <param name="client">The client.</param>
    /// <param name="connectionString">The silos' Npgsql connection string.</param>
    public static IClientBuilder UsePostgreSqlClustering(this IClientBuilder client, string connectionString) =>
        client.UseAdoNetClustering(options => (options.Invariant, options.ConnectionString) = (Invariant, connectionString));

    /// <summary>
    /// Stores grain state in PostgreSQL as JSON. Every write is a compare-and-swap, the first one too. Of two first writes of a grain's
    /// state, one fails with an <see cref="InconsistentStateException"/>. Clearing deletes the row, and no earlier ETag matches what is
    /// written afterwards.
    /// </summary>
    /// <param name="services">The silo's services.</param>
    /// <param name="name">The provider's name, as grains refer to it.</param>
    /// <param name="connectionString">An Npgsql connection string.</param>
    /// <param name="json">The JSON options of the state's types.</param>
    /// <remarks>The cluster's service id is part of every state's key.</remarks>
    internal static IServiceCollection AddPostgreSqlGrainStorage(this IServiceCollection services, string name, string connectionString,
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
