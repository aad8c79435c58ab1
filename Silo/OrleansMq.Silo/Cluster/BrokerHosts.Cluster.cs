using OrleansMq.Brokers;
using OrleansMq.Silo.Cluster;
using OrleansMq.Silo.Configuration;

namespace OrleansMq.Silo.Hosting;

// What a build with Orleans has beyond one without.
internal static partial class BrokerHosts
{
    static partial void CreateCluster(BrokerSettings settings, BrokerOptions options, ref IBrokerHost? host) =>
        host = new ClusterHost(options, settings);
}
