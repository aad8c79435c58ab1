using OrleansMq.Diagnostics;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Grains.VirtualHosts;

/// <summary>Asks the owner of the virtual hosts, wherever it is.</summary>
internal sealed class VirtualHostsLink(IGrainFactory grains, GrainBrokerOptions options) : IVirtualHostsLink
{
    /// <inheritdoc/>
    public async Task<VirtualHostReply> AskAsync(VirtualHostRequest request, CancellationToken cancellationToken)
    {
        var grain = grains.GetGrain<IVirtualHostsGrain>(VirtualHostsGrain.Key);
        var (bytes, id, attempt) = (request.ToBytes(), Guid.NewGuid(), 0);
        return await LeaderPatience.RepeatAsync(options, TryAsync, static reply => !reply.IsDecided, cancellationToken)
            .ConfigureAwait(false);

        async ValueTask<VirtualHostReply> TryAsync()
        {
            CallAttempts.Carry(id, ++attempt);
            try
            {
                return VirtualHostReply.Parse(await grain.SendAsync(bytes, cancellationToken).WaitAsync(cancellationToken)
                    .ConfigureAwait(false));
            }
            catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
            {
                return (VirtualHostReply)request.Refuse(ErrorCode.CoordinatorNotAvailable, "The owner of the virtual hosts did not answer; "
                    + $"whether the command was carried out is unknown. Retry. ({exception.GetType().Name}: {exception.Message})");
            }
        }
    }
}

/// <summary>
/// Follows the owner of the virtual hosts from their first use on: it reads what is newer when a broker joins or dies, and periodically, in
/// case a push was lost. If the owner's silo died, the question activates the owner elsewhere.
/// </summary>
internal sealed class VirtualHostsFollower(SiloBroker broker, ClusterVirtualHosts hosts, ClusterMembership membership)
    : ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LastWord = TimeSpan.FromSeconds(2);

    private readonly CancellationTokenSource _stopped = new();
    private readonly SemaphoreSlim _work = new(0, 1);
    private readonly Lock _lock = new();
    private Task? _following;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(VirtualHostsFollower), ServiceLifecycleStage.Active,
        static _ => Task.CompletedTask, _ => DisposeAsync().AsTask());

    /// <summary>Returns the virtual hosts. The first call reads them from their owner, which creates those of a new installation.</summary>
    /// <exception cref="IOException">The owner cannot be reached. The next call tries again.</exception>
    public async ValueTask<IVirtualHosts> OpenAsync()
    {
        try
        {
            if (hosts.Image.Version == 0)
                await hosts.CatchUpAsync(_stopped.Token).ConfigureAwait(false);
        }
        catch (BrokerException unreachable)
        {
            throw new IOException($"The virtual hosts cannot be read: {unreachable.Message}", unreachable);
        }
        lock (_lock)
        {
            if (_following is null)
            {
                membership.Changed += Wake;
                _following = Task.Run(FollowAsync, CancellationToken.None);
            }
        }
        return hosts;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        membership.Changed -= Wake;
        await _stopped.CancelAsync().ConfigureAwait(false);
        if (_following is { } following)
            await Task.WhenAny(following, Task.Delay(LastWord, CancellationToken.None)).ConfigureAwait(false);
    }

    private void Wake()
    {
        try
        {
            _work.Release();
        }
        catch (SemaphoreFullException)
        {
            // A question is already due.
        }
    }

    private async Task FollowAsync()
    {
        try
        {
            while (true)
            {
                await _work.WaitAsync(Interval, _stopped.Token).ConfigureAwait(false);
                await TryCatchUpAsync().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The silo stops.
        }
    }

    private async Task TryCatchUpAsync()
    {
        // While stopping, this silo cannot host the owner, and there may be no other silo to answer.
        if (!membership.IsActive(broker.Options.BrokerId.Value))
            return;
        try
        {
            await hosts.CatchUpAsync(_stopped.Token).ConfigureAwait(false);
        }
        catch (BrokerException unreachable)
        {
            broker.Log(EngineLogLevel.Warning, $"This broker's virtual hosts may be old: {unreachable.Message}");
        }
        // The next question may be answered: without questions a broker would miss what pushes lose until it is restarted.
        catch (Exception fault) when (fault is not OperationCanceledException || !_stopped.IsCancellationRequested)
        {
            broker.Log(EngineLogLevel.Error, $"This broker's virtual hosts may be old: {fault.Message}", fault);
        }
    }
}
