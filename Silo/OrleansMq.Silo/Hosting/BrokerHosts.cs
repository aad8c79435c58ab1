using OrleansMq.Brokers;
using OrleansMq.Silo.Configuration;

namespace OrleansMq.Silo.Hosting;

/// <summary>Chooses the host. The half of this class that needs Orleans is in the folder <c>Cluster</c>.</summary>
internal static partial class BrokerHosts
{
    /// <summary>Creates the host that the settings ask for.</summary>
    /// <exception cref="SettingsException">A cluster is requested, but this build has no Orleans.</exception>
    public static IBrokerHost Create(BrokerSettings settings, BrokerOptions options)
    {
        IBrokerHost? cluster = null;
        if (settings.Flavour != Flavour.Standalone)
            CreateCluster(settings, options, ref cluster);
        if (cluster is null && settings.Flavour == Flavour.Cluster)
            throw new SettingsException("--flavour cluster: this build has no Orleans. Build with -p:Orleans=true, or run --flavour "
                + "standalone.");
        if (cluster is null && settings.PostgreSql is not null)
            throw new SettingsException("--postgres: this build has no Orleans, so it cannot join a cluster. Build with -p:Orleans=true, "
                + "or omit --postgres.");
        return cluster ?? new StandaloneHost(options);
    }

    static partial void CreateCluster(BrokerSettings settings, BrokerOptions options, ref IBrokerHost? host);
}
