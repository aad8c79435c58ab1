using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Configuration;
using Orleans.Serialization;
using Orleans.Storage;
using OrleansMq.PostgreSql.Schema;

namespace OrleansMq.Tests.Cluster.PostgreSql;

/// <summary>The PostgreSQL grain storage of one silo, without the silo.</summary>
internal static class PostgreSqlStorage
{
    /// <summary>Opens the storage and creates the schema if it is missing.</summary>
    public static async Task<IGrainStorage> OpenAsync(string database, JsonSerializerOptions json, string service = "omq")
    {
        await SchemaMigration.ApplyAsync(database);
        var services = new ServiceCollection().AddSerializer().AddLogging();
        services.Configure<ClusterOptions>(options => options.ServiceId = service);
        services.AddPostgreSqlGrainStorage("omq", database, json);
        var storage = services.BuildServiceProvider().GetRequiredKeyedService<IGrainStorage>("omq");
        var lifecycle = new SiloLifecycleSubject(NullLogger<SiloLifecycleSubject>.Instance);
        ((ILifecycleParticipant<ISiloLifecycle>)storage).Participate(lifecycle);
        await lifecycle.OnStart();
        return storage;
    }
}
