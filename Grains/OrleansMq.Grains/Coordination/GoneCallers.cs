using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Partitions;

namespace OrleansMq.Grains.Coordination;

/// <summary>
/// Abandons the requests of callers that are gone, since no answer can reach them: those of a silo that was declared dead, and, on all
/// silos, those of an Orleans client whose connection to this silo's gateway ended. Such a client may live and have other connections. It
/// then sends its request again. Thread safe.
/// </summary>
internal sealed class GoneCallers(ActiveCoordinators active, IBrokerPeers peers, EngineLog log, IServiceProvider services)
    : ISiloStatusListener, ILifecycleParticipant<ISiloLifecycle>
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
            active.AbandonCallsOf(new GoneCaller(Encoding.UTF8.GetBytes(updatedSilo.ToParsableString())));
    }

    /// <summary>Tells all silos that a client's connection has ended.</summary>
    /// <param name="beginning">The first bytes of the connection. They contain the client's id.</param>
    public void OnConnectionEnded(byte[] beginning)
    {
        active.AbandonCallsOf(new GoneCaller(beginning));
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

/// <summary>A caller that is gone.</summary>
/// <param name="Identity">Bytes that contain its id, or that its id contains.</param>
internal readonly record struct GoneCaller(byte[] Identity)
{
    /// <summary>Whether a call came from it: from a client by its id, from a silo by its address in the id.</summary>
    public bool Is(GrainId caller) => !caller.IsDefault
        && (Identity.AsSpan().IndexOf(caller.Key.AsSpan()) >= 0 || caller.Key.AsSpan().IndexOf(Identity) >= 0);
}
