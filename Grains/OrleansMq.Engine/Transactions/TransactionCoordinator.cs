using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Transactions;

/// <summary>One transactional id's coordinator: a <see cref="TransactionCore"/> in its shell, which tells participants and takes producer
/// ids. Thread safe.</summary>
internal sealed class TransactionCoordinator : ICoordinator
{
    // The pause before a participant is told again. It starts short, since a leader is back soon; it is bounded, so that a partition that
    // was away for long is told soon after it is back.
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    // Participants told at a time: enough to overlap their appends, few enough to leave room for others.
    private const int AtATime = 64;

    // Tried this often, a participant that does not know yet is named in the log.
    private const int SilentAttempts = 20;

    private readonly string _transactionalId;
    private readonly ITransactionParticipants _participants;
    private readonly TransactionProducers _producers;
    private readonly TimeProvider _time;
    private readonly EngineLog _log;
    private readonly Lock _gate = new();
    private Coordinator _shell = null!; // Set by OpenAsync.
    private CancellationTokenSource? _telling;

    private TransactionCoordinator(string transactionalId, ITransactionParticipants participants, TransactionProducers producers,
        TimeProvider time, EngineLog log) =>
        (_transactionalId, _participants, _producers, _time, _log) = (transactionalId, participants, producers, time, log);

    /// <inheritdoc/>
    public bool IsClosed => _shell.IsClosed;

    /// <inheritdoc/>
    public bool IsVacant => _shell.IsVacant;

    /// <inheritdoc/>
    public event Action? Vacated
    {
        add => _shell.Vacated += value;
        remove => _shell.Vacated -= value;
    }

    /// <summary>Reads a transactional id and takes it over. If its document is stored, its previous coordinator is deposed, and a
    /// transaction that was decided is brought to its end.</summary>
    /// <param name="transactionalId">The id.</param>
    /// <param name="brokerId">The broker that opens it.</param>
    /// <param name="store">The store of its document.</param>
    /// <param name="participants">The partitions and groups.</param>
    /// <param name="producers">Gives out producer ids.</param>
    /// <param name="options">Limits.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">The log.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    /// <exception cref="CorruptStateException">The document is damaged.</exception>
    public static async Task<TransactionCoordinator> OpenAsync(string transactionalId, int brokerId, IStateStore store,
        ITransactionParticipants participants, TransactionProducers producers, TransactionOptions options, TimeProvider time, EngineLog log,
        CancellationToken cancellationToken = default)
    {
        var coordinator = new TransactionCoordinator(transactionalId, participants, producers, time, log);
        coordinator._shell = await Coordinator.OpenAsync(TransactionDocuments.Kind, transactionalId, store,
            stored => new TransactionCore(transactionalId, brokerId, options, Guid.NewGuid(), (StoredTransaction)stored, time.GetUtcNow()),
            time, log, coordinator.PerformAsync, cancellationToken).ConfigureAwait(false);
        coordinator._shell.Run();
        return coordinator;
    }

    /// <inheritdoc/>
    public ValueTask<object> AskAsync(ICoordinatorRequest body, CancellationToken cancellationToken = default) =>
        _shell.AskAsync(body, cancellationToken);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _shell.DisposeAsync();

    private Task<CoordinatorCommand?> PerformAsync(CoordinatorEffect effect, CancellationToken closing) => effect switch
    {
        TakeProducerId => TakeAsync(closing),
        EndParticipants end => TellAsync(end, closing),
        ReleaseProducerIds release => ReleaseAsync(release),
        _ => throw new InvalidOperationException($"No effect of a transactional id's coordinator: {effect}."),
    };

    private async Task<CoordinatorCommand?> TakeAsync(CancellationToken closing)
    {
        try
        {
            return new ProducerIdTaken(await _producers.TakeAsync(_transactionalId, closing).ConfigureAwait(false));
        }
        catch (Exception failure) when (!closing.IsCancellationRequested) // Whatever it is: another attempt takes another id.
        {
            return new ProducerIdNotTaken(failure.Message);
        }
    }

    private async Task<CoordinatorCommand?> ReleaseAsync(ReleaseProducerIds release)
    {
        // Also while the coordinator closes, as one does whose id was refused.
        foreach (var id in release.ProducerIds)
            await _producers.ForgetAsync(id, _transactionalId, CancellationToken.None).ConfigureAwait(false);
        return null;
    }

    private async Task<CoordinatorCommand?> TellAsync(EndParticipants told, CancellationToken closing)
    {
        using var telling = Replace(closing);
        using var turns = new SemaphoreSlim(AtATime);
        var state = told.State;
        var end = new TransactionEnd(state.Producer, state.Number, told.CoordinatorEpoch,
            state.Phase == TransactionPhase.PrepareCommit, state.RaisesEpoch);
        var isFenced = false;
        try
        {
            await Task.WhenAll(state.Partitions
                .Select(partition => TellOneAsync($"partition {partition.Topic}-{partition.Partition}", end,
                    () => _participants.EndAsync(partition, end, telling.Token), telling.Token))
                .Concat(state.Groups.Select(group => TellOneAsync($"group '{group}'", end,
                    () => _participants.EndAsync(group, end, telling.Token), telling.Token)))).ConfigureAwait(false);
            return new ParticipantsEnded(state.Number);
        }
        catch (OperationCanceledException) when (!closing.IsCancellationRequested)
        {
            // Where no participant refused the epoch, a later telling goes on.
            return isFenced ? new CoordinatorFenced(state.Number, told.CoordinatorEpoch) : null;
        }
        finally
        {
            lock (_gate)
            {
                if (_telling == telling)
                    _telling = null;
            }
        }

        async Task TellOneAsync(string participant, TransactionEnd end, Func<Task<ParticipantOutcome>> tell,
            CancellationToken cancellationToken)
        {
            if (await TellUntilAsync(participant, end, tell, turns, cancellationToken).ConfigureAwait(false) != ParticipantOutcome.Fenced)
                return;
            // All are told again with a higher epoch.
            isFenced = true;
            await telling.CancelAsync().ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    private async Task<ParticipantOutcome> TellUntilAsync(string participant, TransactionEnd end, Func<Task<ParticipantOutcome>> tell,
        SemaphoreSlim turns, CancellationToken cancellationToken)
    {
        var pause = FirstPause;
        for (var attempt = 1; ; attempt++)
        {
            var outcome = ParticipantOutcome.Retry;
            await turns.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                outcome = await tell().ConfigureAwait(false);
            }
            catch (Exception failure) when (!cancellationToken.IsCancellationRequested) // Whatever it is: the participant may not know.
            {
                _log.Write(EngineLogLevel.Debug, $"The {participant} was not told of the end of transaction {end.Number}.", failure);
            }
            finally
            {
                turns.Release();
            }
            if (outcome != ParticipantOutcome.Retry)
                return outcome;
            if (attempt == SilentAttempts)
                _log.Write(EngineLogLevel.Warning, $"The {participant} does not take the end of transaction {end.Number} of "
                    + $"'{_transactionalId}' yet; it is told again until it does. Until then committed readers wait.");
            await Task.Delay(pause, _time, cancellationToken).ConfigureAwait(false);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private CancellationTokenSource Replace(CancellationToken closing)
    {
        var telling = CancellationTokenSource.CreateLinkedTokenSource(closing);
        CancellationTokenSource? earlier;
        lock (_gate)
            (earlier, _telling) = (_telling, telling);
        try
        {
            earlier?.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It has just ended.
        }
        return telling;
    }
}
