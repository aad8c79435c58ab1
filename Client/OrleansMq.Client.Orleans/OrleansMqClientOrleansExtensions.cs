using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Connections;

namespace Orleans.Hosting;

/// <summary>The OrleansMq client library over an Orleans cluster: for a process that is a client of it, or a silo in it.</summary>
public static class OrleansMqClientOrleansExtensions
{
    // A poll's wait is at most this part of the response timeout: the answer has two thirds of it to travel.
    private const int ResponseTimeoutShare = 3;

    /// <summary>
    /// Registers <see cref="OrleansMqClient"/> over this Orleans client:
    /// <c>host.UseOrleansClient(client => client.UseLocalhostClustering().AddOrleansMqClient().AddProducer&lt;string, Order&gt;())</c>.
    /// Batches travel to the silo that leads their partition, over connections that send and receive in large blocks: Orleans' own sockets
    /// are replaced where no other transport is registered.
    /// </summary>
    /// <param name="client">The Orleans client.</param>
    /// <param name="configure">Sets what producers and readers have where they are given nothing else.</param>
    public static OrleansMqClientBuilder AddOrleansMqClient(this IClientBuilder client, Action<OrleansMqClientOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        client.Services.UseLargeBlocks(typeof(ClientConnectionOptions).Assembly);
        return client.Services.AddOrleansMqClient(configure).UseOrleans();
    }

    /// <summary>
    /// Registers <see cref="OrleansMqClient"/> on a silo. Where the silo is a broker itself (<c>AddOrleansMq()</c>), partitions that are
    /// active on it are called directly: no serialization, no hop.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="configure">Sets what producers and readers have where they are given nothing else.</param>
    public static OrleansMqClientBuilder AddOrleansMqClient(this ISiloBuilder silo, Action<OrleansMqClientOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(silo);
        return silo.Services.AddOrleansMqClient(configure).UseOrleans();
    }

    /// <summary>
    /// Reaches the broker through the Orleans client or silo in the same container (an <see cref="IGrainFactory"/>), unless an
    /// <see cref="IBroker"/> is registered already: <c>services.AddOrleansMqClient().UseOrleans()</c>.
    /// </summary>
    /// <param name="builder">The client.</param>
    public static OrleansMqClientBuilder UseOrleans(this OrleansMqClientBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.TryAddSingleton<IBroker>(services => new GrainBroker(services.GetRequiredService<IGrainFactory>(),
            services.GetService<ILocalPartitions>(), OptionsFor(ResponseTimeoutOf(services))));
        return builder;
    }

    private static GrainBrokerOptions OptionsFor(TimeSpan responseTimeout)
    {
        var options = new GrainBrokerOptions();
        var longest = responseTimeout / ResponseTimeoutShare;
        return longest < options.MaxWaitPerCall ? options with { MaxWaitPerCall = longest } : options;
    }

    private static TimeSpan ResponseTimeoutOf(IServiceProvider services) =>
        services.GetService<ILocalSiloDetails>() is null
            ? services.GetRequiredService<IOptions<ClientMessagingOptions>>().Value.ResponseTimeout
            : services.GetRequiredService<IOptions<SiloMessagingOptions>>().Value.ResponseTimeout;
}
