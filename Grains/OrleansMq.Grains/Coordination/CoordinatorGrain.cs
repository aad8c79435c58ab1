using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;

namespace OrleansMq.Grains.Coordination;

/// <summary>
/// A thin shell around one of the engine's coordinators. An activation claims the documents when it begins; one that loses them to another
/// deactivates. A derived class is reentrant, since coordinators are thread safe: requests go on while another waits for the store.
/// </summary>
/// <param name="noun">What it coordinates, in messages.</param>
/// <param name="broker">The silo's broker.</param>
/// <param name="active">The coordinators of the silo.</param>
/// <param name="services">The silo's services: one alone has no <see cref="CoordinatorSearch"/>.</param>
internal abstract class CoordinatorGrain(string noun, SiloBroker broker, ActiveCoordinators active, IServiceProvider services)
    : Grain, ICoordinatorActivation
{
    // How long an activation that could not claim its documents stays to report the reason: it bounds how often the store is asked.
    private static readonly TimeSpan RefusalTime = TimeSpan.FromMilliseconds(100);

    // How long a coordinator that has stored nothing is kept after the last look.
    private static readonly TimeSpan VacantTime = TimeSpan.FromSeconds(10);

    private readonly RequestWaits _waits = new(broker.Options.TimeProvider);
    private readonly CallerWaits _callers = new();
    private readonly LateCalls _late = new(broker.Options.TimeProvider);
    private ICoordinator? _coordinator;
    // Why there is no coordinator, where there is none.
    private (ErrorCode Error, string Message) _refusal =
        (ErrorCode.NotCoordinator, $"The {noun} is on its way to another broker. Retry.");

    private bool _isLookedAtAgain;

    /// <inheritdoc/>
    public bool IsEnded => _coordinator is { IsClosed: true };

    /// <summary>The id of what it coordinates.</summary>
    protected string Id => this.GetPrimaryKeyString();

    /// <summary>The silo's broker.</summary>
    protected SiloBroker Broker => broker;

    /// <inheritdoc/>
    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (active.IsLeaving)
        {
            Refuse(ErrorCode.CoordinatorNotAvailable,
                $"Broker {broker.Options.BrokerId} is stopping, and no other is there. Retry when one is.");
            return;
        }
        active.Add(this.GetGrainId(), this);
        try
        {
            _coordinator = await OpenAsync();
        }
        catch (Exception failure) when (failure is BrokerException or IOException)
        {
            Refuse((failure as BrokerException)?.Code ?? ErrorCode.CoordinatorNotAvailable, failure.Message);
            return;
        }
        if (services.GetService<CoordinatorSearch>() is { } search)
            _ = search.AnnounceAsync(this.GetGrainId());
    }

    /// <inheritdoc/>
    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        active.Remove(this.GetGrainId(), this);
        if (_coordinator is { } coordinator)
            await coordinator.DisposeAsync();
    }

    /// <inheritdoc/>
    public async Task EndAsync(string reason)
    {
        active.Remove(GrainContext.GrainId, this);
        if (_coordinator is { } coordinator)
            await coordinator.DisposeAsync();
        Go(reason);
    }

    /// <inheritdoc/>
    public void AbandonCallsOf(GoneCaller gone) => _callers.Abandon(gone);

    /// <inheritdoc/>
    public IReadOnlyList<GrainId> Callers => _callers.Callers;

    /// <summary>Opens the coordinator.</summary>
    protected abstract Task<ICoordinator> OpenAsync();

    /// <summary>The broker that coordinates: this one.</summary>
    /// <exception cref="BrokerException">The documents could not be claimed.</exception>
    protected async Task<int> FindBrokerAsync() => _coordinator is null
        ? throw new BrokerException(_refusal.Error, _refusal.Message)
        : await WatchAsync(_coordinator, new ValueTask<int>(broker.Options.BrokerId.Value));

    /// <summary>Carries a request out.</summary>
    /// <param name="request">The request.</param>
    /// <param name="wait">Read where <see cref="ICoordinatorRequest.WaitsForOthers"/>: the same in all calls for one request.</param>
    /// <param name="cancellationToken">Cancelled when the caller no longer waits. A request that may wait for others goes on.</param>
    /// <returns>The answer, or the refusal that <see cref="ICoordinatorRequest.Refuse"/> makes; null: none yet, call again.</returns>
    protected async Task<object?> AskAsync(ICoordinatorRequest request, Guid wait, CancellationToken cancellationToken)
    {
        if (_coordinator is not { } coordinator)
            return request.Refuse(_refusal.Error, _refusal.Message);
        if (_late.IsLate())
            return request.Refuse(ErrorCode.CoordinatorNotAvailable, $"The {noun} has got a repetition of this request before it.");
        return request.WaitsForOthers
            ? await WatchAsync(coordinator, new ValueTask<object?>(
                _waits.WaitAsync(wait, () => coordinator.AskAsync(request, CancellationToken.None).AsTask(), cancellationToken)))
            : await WatchAsync(coordinator, coordinator.AskAsync(request, cancellationToken));
    }

    /// <summary>Carries a request out that is abandoned when its caller is gone.</summary>
    /// <param name="request">The request.</param>
    /// <param name="caller">Who waits for the answer.</param>
    /// <param name="cancellationToken">Cancelled when the caller no longer waits.</param>
    protected async Task<object?> PollAsync(ICoordinatorRequest request, GrainId caller, CancellationToken cancellationToken)
    {
        using var wait = _callers.Begin(caller, cancellationToken);
        try
        {
            return await AskAsync(request, default, wait.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return request.Refuse(ErrorCode.CoordinatorNotAvailable, "The connection of the caller has ended. Retry.");
        }
        finally
        {
            _callers.End(wait);
        }
    }

    /// <summary>Waits for an answer, then ends an activation that has lost its documents, or has none.</summary>
    private async Task<T> WatchAsync<T>(ICoordinator coordinator, ValueTask<T> answer)
    {
        try
        {
            return await answer;
        }
        finally
        {
            if (coordinator.IsClosed)
                _ = EndAsync($"Another activation coordinates the {noun}."); // The next call is to find that one.
            else if (coordinator.IsVacant && !_isLookedAtAgain)
                _ = GoIfVacantAsync(coordinator);
        }
    }

    // Nothing is kept of an id that stores nothing. A coordinator that is about to store its first document is left alone.
    private async Task GoIfVacantAsync(ICoordinator coordinator)
    {
        _isLookedAtAgain = true;
        await Task.Delay(VacantTime, broker.Options.TimeProvider, CancellationToken.None);
        _isLookedAtAgain = false;
        if (coordinator.IsVacant)
            await EndAsync($"Nothing is stored of the {noun}.");
    }

    private void Refuse(ErrorCode error, string message)
    {
        active.Remove(this.GetGrainId(), this);
        _refusal = (error, message);
        _ = GoAfterRefusalAsync();
    }

    private async Task GoAfterRefusalAsync()
    {
        await Task.Delay(RefusalTime, broker.Options.TimeProvider, CancellationToken.None);
        Go("It could not claim its documents.");
    }

    // Not DeactivateOnIdle, which fails where Orleans has ended the activation meanwhile.
    private void Go(string reason)
    {
        broker.Log(EngineLogLevel.Debug, $"The coordinator {GrainContext.GrainId} goes. {reason}");
        GrainContext.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, reason));
    }
}
