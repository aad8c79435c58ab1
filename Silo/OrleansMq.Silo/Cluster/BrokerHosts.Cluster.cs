using OrleansMq.Brokers;
using OrleansMq.Silo.Cluster;
using OrleansMq.Silo.Configuration;

namespace OrleansMq.Silo.Hosting;

// The part of this class that only builds with Orleans have.
internal static partial class BrokerHosts
{
    static partial void CreateCluster(BrokerSettings settings, BrokerOptions options, ref IBrokerHost? host) =>
        host = new ClusterHost(options, settings);
}
