using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Chaos.Network;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.OrderFlow;

/// <summary>Silos that run the sample with the order flow over one database. A silo that ends is restarted.</summary>
internal sealed class OrderFlowCluster : SupervisedCluster
{
    private readonly List<Uri> _apis = [];
    private readonly string _data;

    private OrderFlowCluster(PrivatePostgreSql database, string databaseDirectory, string data, RunLog log)
        : base(database, databaseDirectory, log) => _data = data;

    /// <summary>The addresses of the sample's API, one a silo.</summary>
    public IReadOnlyList<Uri> Apis => _apis;

    /// <summary>Starts the cluster. Returns when all brokers are active.</summary>
    /// <returns>Null if the machine has no PostgreSQL.</returns>
    public static async Task<OrderFlowCluster?> StartAsync(string data, int silos, RunLog log)
    {
        if (await StartDatabaseAsync() is not { } database)
            return null;
        return await StartedAsync(new OrderFlowCluster(database.Server, database.Directory, data, log), silos,
            static (cluster, brokerId) => cluster.Supervise(brokerId));
    }

    private void Supervise(int brokerId)
    {
        var (http, api) = (new Uri($"http://127.0.0.1:{FreePort.Choose()}"), new Uri($"http://127.0.0.1:{FreePort.Choose()}"));
        _apis.Add(api);
        var announced = new Silo(brokerId, ProcessId: 0, http, Path.Combine(_data, $"broker-{brokerId}"));
        string[] flags =
        [
            Programs.OrderFlow, $"--BrokerId={brokerId}", $"--Data={announced.Data}", $"--PostgreSql={Database.ConnectionString()}",
            $"--SiloPort={FreePort.Choose()}", $"--GatewayPort={FreePort.Choose()}", $"--BrokerPort={http.Port}", $"--urls={api}",
            "--WakeUpDelay=00:00:05", "--CleanUpDelay=00:00:05",
        ];
        Supervise(brokerId, flags, (line, process) =>
            line.Contains("Application started", StringComparison.Ordinal) ? announced with { ProcessId = process } : null);
    }
}
