using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Connections;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Partitions;

namespace OrleansMq.Grains.Coordination;

/// <summary>
/// Abandons the requests of callers that are gone, since no answer can reach them: those of a silo that was declared dead, and, on all
/// silos, those of an Orleans client whose connection to this silo's gateway ended. Such a client may live and have other connections. It
/// then sends its request again. Thread safe.
/// </summary>
internal sealed class GoneCallers(ActiveCoordinators active, IBrokerPeers peers, EngineLog log, IServiceProvider services)
    : IGatewayConnections, ISiloStatusListener, ILifecycleParticipant<ISiloLifecycle>
{
    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(GoneCallers), ServiceLifecycleStage.BecomeActive,
        _ =>
        {
            services.GetRequiredService<ISiloStatusOracle>().SubscribeToSiloStatusEvents(this);
            return Task.CompletedTask;
        });

    /// <inheritdoc/>
    public void SiloStatusChangeNotification(SiloAddress updatedSilo, SiloStatus status)
    {
        if (status == SiloStatus.Dead)
            active.AbandonCallsOf(GoneCaller.Silo(updatedSilo.ToParsableString()));
    }

    /// <summary>Tells all silos that a client's connection has ended.</summary>
    /// <inheritdoc/>
    public void OnConnectionEnded(byte[] beginning)
    {
        active.AbandonCallsOf(GoneCaller.Client(beginning));
        foreach (var broker in peers.Live.Where(broker => broker != peers.Self))
            _ = TellAsync(broker);

        async Task TellAsync(int broker)
        {
            try
            {
                if (peers.Find(broker) is { } silo)
                    await services.GetRequiredService<CoordinatorServiceClient>().Of(silo).CallerGoneAsync(beginning).ConfigureAwait(false);
            }
            catch (Exception failure) // Whatever the call throws: the sessions of the client's members end later.
            {
                log.Write(EngineLogLevel.Debug, $"Broker {broker} was not told of a client that is gone.", failure);
            }
        }
    }
}

/// <summary>A caller that is gone: a client by the beginning of its connection, which contains its id, or a silo by the id of the client in
/// it.</summary>
internal readonly record struct GoneCaller
{
    // Clients' ids are UUIDs. A shorter one could be found in anything that a stranger sends.
    private const int MinIdLength = 16;

    private readonly byte[] _bytes;
    private readonly bool _isSilo;

    private GoneCaller(byte[] bytes, bool isSilo) => (_bytes, _isSilo) = (bytes, isSilo);

    /// <summary>An Orleans client.</summary>
    /// <param name="beginning">The first bytes of its connection.</param>
    public static GoneCaller Client(byte[] beginning) => new(beginning, isSilo: false);

    /// <summary>A silo.</summary>
    /// <param name="address">Its address, with its generation.</param>
    public static GoneCaller Silo(string address) => new(Encoding.UTF8.GetBytes($"hosted-{address}"), isSilo: true);

    /// <summary>Whether a call came from it.</summary>
    public bool Is(GrainId caller)
    {
        if (caller.IsDefault || !caller.Type.AsSpan().SequenceEqual("sys.client"u8))
            return false;
        var id = caller.Key.AsSpan();
        return _isSilo ? id.SequenceEqual(_bytes)
            : id.Length >= MinIdLength && !id.StartsWith("hosted-"u8) && _bytes.AsSpan().IndexOf(id) >= 0;
    }
}
