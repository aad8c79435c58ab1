using System.Text.Json;
using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Chaos.Network;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.Subscriptions;

/// <summary>Silos with subscribers over one database. A silo that ends is restarted.</summary>
internal sealed class SubscriptionCluster : SupervisedCluster
{
    private readonly string _data;

    private SubscriptionCluster(PrivatePostgreSql database, string databaseDirectory, string data, RunLog log)
        : base(database, databaseDirectory, log)
    {
        _data = data;
        Events = Directory.CreateDirectory(Path.Combine(data, "events")).FullName;
    }

    /// <summary>The directory to which subscribers write.</summary>
    public string Events { get; }

    /// <summary>Starts the cluster. Returns when all brokers are active.</summary>
    /// <returns>Null if the machine has no PostgreSQL.</returns>
    public static async Task<SubscriptionCluster?> StartAsync(string data, int silos, RunLog log)
    {
        if (await StartDatabaseAsync() is not { } database)
            return null;
        return await StartedAsync(new SubscriptionCluster(database.Server, database.Directory, data, log), silos,
            static (cluster, brokerId) => cluster.Supervise(brokerId));
    }

    private void Supervise(int brokerId)
    {
        var order = new SubscriptionOrder(brokerId, Path.Combine(_data, $"broker-{brokerId}"), Events, Database.ConnectionString(),
            FreePort.Choose(), FreePort.Choose(), FreePort.Choose());
        var announced = new Silo(brokerId, ProcessId: 0, new Uri($"http://127.0.0.1:{order.HttpPort}"), order.Data);
        Supervise(brokerId,
            [typeof(SubscriptionProgram).Assembly.Location, SubscriptionProgram.Argument, JsonSerializer.Serialize(order)],
            (line, process) => line == SubscriptionProgram.Serves ? announced with { ProcessId = process } : null);
    }
}
