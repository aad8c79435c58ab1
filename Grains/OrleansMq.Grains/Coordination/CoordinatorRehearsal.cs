using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Storage;

namespace OrleansMq.Grains.Coordination;

/// <summary>
/// Carries out what a coordinator's failover takes when a broker has started, so that the compiler has compiled it by then. Otherwise the
/// compiler takes longer than the rest of the failover, since a broker often has its first coordinator when another broker has died.
/// <para>A broker coordinates for itself, over the store. And it sends requests to each broker that is there, or joins, for a transactional
/// id that nobody has: they are refused, and leave nothing.</para>
/// </summary>
/// <remarks>The storage is resolved late: the silo's start opens it.</remarks>
internal sealed class CoordinatorRehearsal(SiloBroker silo, GrainBroker broker, IBrokerPeers peers, IClusterMetadata topics,
    IServiceProvider services) : ILifecycleParticipant<ISiloLifecycle>
{
    /// <summary>The grain type that owns the documents. No grain has it.</summary>
    internal const string DocumentOwner = "omq.rehearsal";

    // A start in which the store hangs must not leave it waiting for ever.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly CancellationTokenSource _closing = new();
    private readonly SemaphoreSlim _changed = new(1, 1);
    private Task _running = Task.CompletedTask;

    /// <summary>Returns a transactional id that a broker coordinates, if it answers.</summary>
    /// <param name="broker">The broker; one of the others.</param>
    /// <param name="live">The brokers that are not declared dead.</param>
    public static string IdOn(int broker, IReadOnlyCollection<int> live)
    {
        for (var number = 0; ; number++)
        {
            var id = $"omq-rehearsal-{number}";
            if (CoordinatorChoice.Decide(id, broker, live, static _ => true, static _ => CoordinatorHolding.Absent) == broker)
                return id;
        }
    }

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(CoordinatorRehearsal), ServiceLifecycleStage.Active,
        _ =>
        {
            peers.Changed += OnChanged;
            _running = Task.Run(RunAsync, CancellationToken.None);
            return Task.CompletedTask;
        },
        async _ =>
        {
            peers.Changed -= OnChanged;
            await _closing.CancelAsync();
            await _running;
        });

    private void OnChanged()
    {
        try
        {
            _changed.Release();
        }
        catch (SemaphoreFullException)
        {
            // A look is due already.
        }
    }

    private async Task RunAsync()
    {
        var coordinators = new RehearsedCoordinators(new GrainStateStore(
            services.GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName), GrainType.Create(DocumentOwner),
            silo.Options.TimeProvider), silo.Options.BrokerId.Value, topics, silo.Options.TimeProvider);
        await TryAsync("commit a transaction", coordinators.CommitAsync);
        await TryAsync("join a group", coordinators.JoinAsync);
        HashSet<SiloAddress> asked = [];
        try
        {
            while (true)
            {
                await _changed.WaitAsync(_closing.Token).ConfigureAwait(false);
                var live = peers.Live;
                foreach (var other in live)
                {
                    if (peers.Find(other) is { } address && asked.Add(address))
                        await TryAsync($"ask broker {other}", () => AskAsync(IdOn(other, live)));
                }
                asked.RemoveWhere(address => !live.Any(other => address.Equals(peers.Find(other))));
            }
        }
        catch (OperationCanceledException) when (_closing.IsCancellationRequested)
        {
            // The silo stops.
        }
    }

    // No id has this producer, so each is refused.
    private async Task<ErrorCode> AskAsync(string id)
    {
        var nobody = new ProducerIdentity(-1, -1);
        await broker.Transactions.SendAsync(new AddToTransaction { TransactionalId = id, Producer = nobody, RaisesEpoch = true },
            _closing.Token).ConfigureAwait(false);
        await broker.Transactions.SendAsync(new EndTransaction { TransactionalId = id, Producer = nobody, IsCommit = false,
            RaisesEpoch = true }, _closing.Token).ConfigureAwait(false);
        return ErrorCode.None;
    }

    private async Task TryAsync(string what, Func<Task<ErrorCode>> rehearse)
    {
        try
        {
            var error = await rehearse().WaitAsync(Patience, silo.Options.TimeProvider, _closing.Token).ConfigureAwait(false);
            if (error != ErrorCode.None)
                silo.Log(EngineLogLevel.Debug, $"The rehearsal could not {what}: {error}. A first failover to this broker takes longer.");
        }
        catch (Exception failure) // Whatever it is: it costs time in a failover, and nothing else.
        {
            silo.Log(EngineLogLevel.Debug, $"The rehearsal could not {what}. A first failover to this broker takes longer.", failure);
        }
    }
}
