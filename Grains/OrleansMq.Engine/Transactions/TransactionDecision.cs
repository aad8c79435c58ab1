using System.Globalization;
using OrleansMq.Api;

namespace OrleansMq.Transactions;

/// <summary>What a request needs before it can be answered.</summary>
internal enum TransactionNeed
{
    /// <summary>Nothing.</summary>
    None = 0,
    /// <summary>The end of the transaction that is being ended.</summary>
    Completion = 1,
    /// <summary>A producer id that was never used.</summary>
    ProducerId = 2,
}

/// <summary>The decision on one request.</summary>
/// <param name="Next">The next state; the same instance if nothing changed.</param>
/// <param name="Answer">The answer; null where <paramref name="Need"/> says what it waits for.</param>
/// <param name="Need">What the request needs: then it is decided again.</param>
internal readonly record struct TransactionOutcome(TransactionState? Next, object? Answer, TransactionNeed Need = TransactionNeed.None);

/// <summary>The decisions about a transactional id. Pure.</summary>
internal static class TransactionDecision
{
    /// <summary>Gives a producer its next epoch.</summary>
    /// <param name="state">The state; null: the id is not known.</param>
    /// <param name="request">The request.</param>
    /// <param name="freshId">A producer id that was never used; -1: none is at hand.</param>
    /// <param name="options">Limits.</param>
    /// <param name="now">The time.</param>
    public static TransactionOutcome Init(TransactionState? state, InitTransactions request, long freshId, TransactionOptions options,
        DateTimeOffset now)
    {
        if (request.Timeout <= TimeSpan.Zero || request.Timeout > options.MaxTimeout)
            return new(state, new InitTransactionsResult(ErrorCode.InvalidTransactionTimeout, new(-1, -1), string.Create(
                CultureInfo.InvariantCulture, $"The timeout of transactions (transaction.timeout.ms) is "
                + $"{request.Timeout.TotalMilliseconds} ms; set it above 0, and to "
                + $"{options.MaxTimeout.TotalMilliseconds} ms (transaction.max.timeout.ms) at most.")));
        if (AnswerBefore(state, request.RequestId) is { } before)
            return new(state, new InitTransactionsResult(ErrorCode.None, before));
        if (state is null)
        {
            return freshId < 0 ? new(state, null, TransactionNeed.ProducerId) : Initialized(request, new TransactionState
            {
                Phase = TransactionPhase.Empty,
                ProducerId = freshId,
                Epoch = 0,
                Timeout = request.Timeout,
                UpdatedAt = now,
            });
        }
        if (state.IsEnding)
            return new(state, null, TransactionNeed.Completion);
        if (request.Current is { } current)
        {
            if (state.IsAtRest && IsLast(state, current))
                return new(state, new InitTransactionsResult(ErrorCode.None, state.Producer));
            if (current != state.Producer)
                return new(state, new InitTransactionsResult(ErrorCode.ProducerFenced, new(-1, -1), Fenced(state, current)));
        }
        if (state.Phase == TransactionPhase.Ongoing)
        {
            // An instance that goes on is answered with the epoch that its own fence has raised.
            var fenced = Fence(state, freshId, now, $"a new instance, {request.Caller.Name}, has begun",
                request.Current?.ProducerEpoch ?? -1);
            return fenced is null ? new(state, null, TransactionNeed.ProducerId) : new(fenced, null, TransactionNeed.Completion);
        }
        var next = state with
        {
            Phase = TransactionPhase.Empty,
            Timeout = request.Timeout,
            Connection = default,
            UpdatedAt = now,
            LastEpoch = request.Current?.ProducerEpoch ?? -1,
            LastFence = request.Current is null ? Said(now, $"{request.Caller.Name} began as a new instance") : state.LastFence,
        };
        if (!state.IsExhausted)
            return Initialized(request, next with { Epoch = (short)(state.Epoch + 1) });
        return freshId < 0 ? new(state, null, TransactionNeed.ProducerId) : Initialized(request, next with
        {
            ProducerId = freshId,
            PreviousProducerId = state.ProducerId,
            Epoch = 0,
        });
    }

    /// <summary>Adds partitions and groups to the open transaction, or begins one.</summary>
    /// <param name="state">The state; null: the id is not known.</param>
    /// <param name="request">The request.</param>
    /// <param name="options">Limits.</param>
    /// <param name="now">The time.</param>
    public static TransactionOutcome Add(TransactionState? state, AddToTransaction request, TransactionOptions options, DateTimeOffset now)
    {
        if (state is null || request.Producer.ProducerId != state.ProducerId && !state.IsEnding)
            return Refused(state, ErrorCode.InvalidProducerIdMapping, Unmapped(state, request.TransactionalId, request.Producer));
        if (state.IsEnding)
        {
            // What is verified was added before: to the transaction that is being ended. If it waited, it could be taken for a part of the
            // next one. Where the end raises the epoch, the wait ends with the refusal of the old one.
            return request.VerifyOnly && request.Producer == state.Producer
                ? Refused(state, ErrorCode.TransactionAbortable, $"The transaction of '{request.TransactionalId}' is being ended: "
                    + $"{state.LastEnd}.")
                : new(state, null, TransactionNeed.Completion);
        }
        if (request.Producer.ProducerEpoch != state.Epoch)
            return Refused(state, ErrorCode.ProducerFenced, Fenced(state, request.Producer));
        if (FaultOf(request) is { } fault)
            return Refused(state, fault.Error, fault.Message);
        var isOngoing = state.Phase == TransactionPhase.Ongoing;
        var isIn = isOngoing && state.Partitions.IsSupersetOf(request.Partitions) && state.Groups.IsSupersetOf(request.Groups);
        var connection = request.VerifyOnly || request.RaisesEpoch ? default : TransactionConnection.Of(request.Caller);
        // A younger connection is stored: what comes late over the older one is of an earlier transaction, whatever coordinator it meets.
        // Over the same one, what is in the transaction came with an earlier request of it.
        if (isIn && (connection == default || connection.IsOver(state.Connection)))
            return new(state, new AddToTransactionResult(ErrorCode.None, state.Number));
        if (request.VerifyOnly)
            return Refused(state, ErrorCode.TransactionAbortable, isOngoing
                ? $"The transaction of '{request.TransactionalId}' has not all of these partitions and groups: add them first."
                : $"'{request.TransactionalId}' has no open transaction: {state.LastEnd ?? "none was begun"}.");
        var begun = isOngoing ? state : state with
        {
            Phase = TransactionPhase.Ongoing,
            Number = NextNumber(state, now),
            LastEpoch = -1,
            StartedAt = now,
        };
        var next = begun with
        {
            Partitions = begun.Partitions.Union(request.Partitions),
            Groups = begun.Groups.Union(request.Groups),
            Connection = connection == default ? begun.Connection : connection,
            UpdatedAt = now,
        };
        return next.Partitions.Count > options.MaxPartitions
            ? Refused(state, ErrorCode.InvalidRequest, $"A transaction has at most {options.MaxPartitions} partitions.")
            : next.Groups.Count > options.MaxGroups
            ? Refused(state, ErrorCode.InvalidRequest, $"A transaction commits offsets of at most {options.MaxGroups} groups: commit those "
                + "of others in another one.")
            : new(next, new AddToTransactionResult(ErrorCode.None, next.Number));
    }

    // What can be no participant would never confirm the end, and the id would be of no use any more.
    private static (ErrorCode Error, string Message)? FaultOf(AddToTransaction request)
    {
        foreach (var partition in request.Partitions)
        {
            if (partition.Partition < 0)
                return (ErrorCode.InvalidRequest, $"Topic '{partition.Topic}' has no partition {partition.Partition}: numbers begin at 0.");
        }
        foreach (var group in request.Groups)
        {
            if (GroupId.FindProblem(group) is { } problem)
                return (ErrorCode.InvalidGroupId, problem);
        }
        return null;
    }

    /// <summary>Commits or aborts.</summary>
    /// <param name="state">The state; null: the id is not known.</param>
    /// <param name="request">The request.</param>
    /// <param name="freshId">A producer id that was never used; -1: none is at hand.</param>
    /// <param name="now">The time.</param>
    public static TransactionOutcome End(TransactionState? state, EndTransaction request, long freshId, DateTimeOffset now)
    {
        var producer = request.Producer;
        // The identity that the decided transaction was answered with.
        if (state is { NextProducerId: >= 0 } && producer == state.NextProducer)
            return new(state, null, TransactionNeed.Completion);
        if (state is null || !IsOf(state, producer))
            return Refused(state, request, ErrorCode.InvalidProducerIdMapping, Unmapped(state, request.TransactionalId, producer));
        var isRepeated = request.RaisesEpoch && IsLast(state, producer);
        if (producer != state.Producer && !isRepeated)
            return Refused(state, request, ErrorCode.ProducerFenced, Fenced(state, producer));
        if (request.Number != 0 && request.Number != state.Number)
            return IsEndOfLast(state, request) ? new(state, new EndTransactionResult(ErrorCode.None, producer))
                : Refused(state, request, ErrorCode.InvalidTxnState, NotTheLast(state, request.TransactionalId, request.Number));
        switch (state.Phase)
        {
            case TransactionPhase.Ongoing when isRepeated:
                return Refused(state, request, ErrorCode.ProducerFenced, Fenced(state, producer));
            case TransactionPhase.Ongoing:
                return Prepare(state, request, freshId, now);
            case TransactionPhase.PrepareCommit or TransactionPhase.PrepareAbort when request.RaisesEpoch && !isRepeated:
                return new(state, null, TransactionNeed.Completion);
            case TransactionPhase.PrepareCommit or TransactionPhase.PrepareAbort:
                return (state.Phase == TransactionPhase.PrepareCommit) == request.IsCommit
                    ? new(state, null, TransactionNeed.Completion) : Misplaced(state, request);
            case TransactionPhase.Empty when isRepeated:
                return Refused(state, request, ErrorCode.ProducerFenced, Fenced(state, producer));
            case TransactionPhase.CompleteCommit or TransactionPhase.CompleteAbort when isRepeated || !request.RaisesEpoch:
                return (state.Phase == TransactionPhase.CompleteCommit) == request.IsCommit
                    ? new(state, new EndTransactionResult(ErrorCode.None, state.Producer)) : Misplaced(state, request);
            default:
                return request is { RaisesEpoch: true, IsCommit: false } ? AbortNothing(state, request, freshId, now)
                    : Misplaced(state, request);
        }
    }

    /// <summary>Aborts the open transaction for an operator, and fences its producer.</summary>
    /// <param name="state">The state; null: the id is not known.</param>
    /// <param name="request">The request.</param>
    /// <param name="freshId">A producer id that was never used; -1: none is at hand.</param>
    /// <param name="now">The time.</param>
    public static TransactionOutcome Abort(TransactionState? state, AbortTransaction request, long freshId, DateTimeOffset now)
    {
        if (state is null)
            return new(state, NotFound(request.TransactionalId));
        if (request.Number != 0 && request.Number != state.Number)
            return new(state, new TransactionReply(ErrorCode.InvalidTxnState,
                $"{NotTheLast(state, request.TransactionalId, request.Number)} Describe the id."));
        if (state.Phase == TransactionPhase.PrepareAbort || (state.Phase == TransactionPhase.CompleteAbort && request.Number != 0))
            return new(state, null, TransactionNeed.Completion);
        if (state.Phase != TransactionPhase.Ongoing)
            return new(state, new TransactionReply(ErrorCode.InvalidTxnState,
                $"'{request.TransactionalId}' has no open transaction: {state.LastEnd ?? "none was begun"}."));
        var fenced = Fence(state, freshId, now, $"an operator, {request.Caller.Name}, aborted it", state.Epoch);
        return fenced is null ? new(state, null, TransactionNeed.ProducerId) : new(fenced, null, TransactionNeed.Completion);
    }

    /// <summary>Whether the open transaction is to be aborted, since it is open for too long.</summary>
    public static bool IsLate(TransactionState state, DateTimeOffset now) =>
        state is { Phase: TransactionPhase.Ongoing, StartedAt: { } started } && started + state.Timeout <= now;

    /// <summary>Whether the id is to be forgotten.</summary>
    public static bool IsExpired(TransactionState state, TransactionOptions options, DateTimeOffset now) =>
        state.IsAtRest && state.UpdatedAt + options.IdExpiration <= now;

    /// <summary>Aborts the open transaction and raises the epoch, so that the producer is fenced.</summary>
    /// <param name="state">An ongoing transaction.</param>
    /// <param name="freshId">A producer id that was never used; -1: none is at hand.</param>
    /// <param name="now">The time.</param>
    /// <param name="reason">Why.</param>
    /// <param name="lastEpoch">The epoch of an instance that may go on with the next one, when it asks for it; -1: none may.</param>
    /// <returns>Null: an id is needed.</returns>
    public static TransactionState? Fence(TransactionState state, long freshId, DateTimeOffset now, string reason, short lastEpoch) =>
        state.IsExhausted && freshId < 0 ? null : state with
        {
            Phase = TransactionPhase.PrepareAbort,
            Epoch = (short)(state.Epoch + 1),
            LastEpoch = lastEpoch,
            RaisesEpoch = true,
            NextProducerId = state.IsExhausted ? freshId : -1,
            Connection = default,
            UpdatedAt = now,
            EndedNumber = state.Number,
            IsEndedByCommit = false,
            LastEnd = Said(now, $"transaction {state.Number} was aborted: {reason}"),
            LastFence = Said(now, reason),
        };

    /// <summary>All partitions and groups know.</summary>
    /// <param name="state">A transaction that is being ended.</param>
    /// <param name="now">The time.</param>
    public static TransactionState Complete(TransactionState state, DateTimeOffset now)
    {
        var next = state with
        {
            Phase = state.Phase == TransactionPhase.PrepareCommit ? TransactionPhase.CompleteCommit : TransactionPhase.CompleteAbort,
            Partitions = TransactionState.NoPartitions,
            Groups = TransactionState.NoGroups,
            StartedAt = null,
            RaisesEpoch = false,
            UpdatedAt = now,
        };
        return state.NextProducerId < 0 ? next : next with
        {
            ProducerId = state.NextProducerId,
            PreviousProducerId = state.ProducerId,
            NextProducerId = -1,
            Epoch = 0,
        };
    }

    /// <summary>The refusal of a request for an id that is not known.</summary>
    public static TransactionReply NotFound(string transactionalId) =>
        new(ErrorCode.TransactionalIdNotFound, $"There is no transactional id '{transactionalId}'.");

    private static TransactionOutcome Prepare(TransactionState state, EndTransaction request, long freshId, DateTimeOffset now)
    {
        var connection = TransactionConnection.Of(request.Caller);
        var next = state with
        {
            Phase = request.IsCommit ? TransactionPhase.PrepareCommit : TransactionPhase.PrepareAbort,
            RaisesEpoch = request.RaisesEpoch,
            LastEpoch = -1,
            // As that of an addition: what comes late over an older one belongs to this transaction, and must not begin the next.
            Connection = connection == default ? state.Connection : connection,
            UpdatedAt = now,
            EndedNumber = state.Number,
            IsEndedByCommit = request.IsCommit,
            LastEnd = Said(now, $"{request.Caller.Name} {(request.IsCommit ? "committed" : "aborted")} transaction {state.Number}"),
        };
        if (request.RaisesEpoch)
        {
            if (state.IsExhausted && freshId < 0)
                return new(state, null, TransactionNeed.ProducerId);
            next = Raise(next, freshId);
        }
        return request.WaitsForMarkers ? new(next, null, TransactionNeed.Completion)
            : new(next, new EndTransactionResult(ErrorCode.None, next.NextProducer));
    }

    // The producer is to go on with another epoch, although no batch was sent.
    private static TransactionOutcome AbortNothing(TransactionState state, EndTransaction request, long freshId, DateTimeOffset now)
    {
        if (state.IsExhausted && freshId < 0)
            return new(state, null, TransactionNeed.ProducerId);
        var next = Complete(Raise(state with
        {
            Phase = TransactionPhase.PrepareAbort,
            // The number of the one before may be that of a commit.
            Number = NextNumber(state, now),
            LastEnd = Said(now, $"{request.Caller.Name} aborted an empty transaction"),
        }, freshId), now);
        return new(next, new EndTransactionResult(ErrorCode.None, next.Producer));
    }

    // A repetition that comes when the next transaction has begun: all partitions and groups know of this one. Where the end raises the
    // epoch, the old one is fenced by then.
    private static bool IsEndOfLast(TransactionState state, EndTransaction request) => !request.RaisesEpoch
        && request.Number == state.EndedNumber && request.IsCommit == state.IsEndedByCommit;

    private static string NotTheLast(TransactionState state, string transactionalId, long number) =>
        $"Transaction {number} of '{transactionalId}' is not its last one, {state.Number}, which is left as it is: "
        + $"{state.LastEnd ?? "none was ended"}.";

    private static long NextNumber(TransactionState state, DateTimeOffset now) =>
        Math.Max(state.Number + 1, now.ToUnixTimeMilliseconds());

    private static TransactionState Raise(TransactionState state, long freshId) => state with
    {
        Epoch = (short)(state.Epoch + 1),
        LastEpoch = state.Epoch,
        NextProducerId = state.IsExhausted ? freshId : -1,
        Connection = default,
    };

    // A repetition of the request that this epoch, or this id, was the answer to.
    private static bool IsLast(TransactionState state, ProducerIdentity producer) =>
        state.LastEpoch >= 0 && producer.ProducerEpoch == state.LastEpoch && IsOf(state, producer);

    // By its id, or by the one before, whose epochs are used up.
    private static bool IsOf(TransactionState state, ProducerIdentity producer) => producer.ProducerId == state.ProducerId
        || (state.Epoch == 0 && producer.ProducerId == state.PreviousProducerId && producer.ProducerEpoch >= TransactionState.MaxEpoch);

    private static TransactionOutcome Initialized(InitTransactions request, TransactionState next)
    {
        if (request.RequestId != Guid.Empty)
        {
            var earlier = next.Inits.Length < TransactionState.MostInits ? next.Inits : next.Inits.RemoveAt(0);
            next = next with { Inits = earlier.Add(new TransactionInit(request.RequestId, next.Producer)) };
        }
        return new(next, new InitTransactionsResult(ErrorCode.None, next.Producer));
    }

    // The identity of an earlier instance, too: the next request of who repeats it is fenced then.
    private static ProducerIdentity? AnswerBefore(TransactionState? state, Guid requestId)
    {
        if (state is null || requestId == Guid.Empty)
            return null;
        foreach (var init in state.Inits)
        {
            if (init.RequestId == requestId)
                return init.Producer;
        }
        return null;
    }

    private static TransactionOutcome Refused(TransactionState? state, ErrorCode error, string message) =>
        new(state, new AddToTransactionResult(error, 0, message));

    private static TransactionOutcome Refused(TransactionState? state, EndTransaction request, ErrorCode error, string message) =>
        new(state, ((ICoordinatorRequest)request).Refuse(error, message));

    private static TransactionOutcome Misplaced(TransactionState state, EndTransaction request) => Refused(state, request,
        ErrorCode.InvalidTxnState, $"A {(request.IsCommit ? "commit" : "abort")} does not go with what became of the transaction of "
            + $"'{request.TransactionalId}': {state.LastEnd ?? "none was begun"}.");

    private static string Fenced(TransactionState state, ProducerIdentity producer) =>
        $"Producer {producer.ProducerId} with epoch {producer.ProducerEpoch} is fenced by {state.ProducerId} with epoch {state.Epoch}: "
            + $"{state.LastFence ?? state.LastEnd ?? "another instance has begun"}. Close this producer.";

    private static string Unmapped(TransactionState? state, string transactionalId, ProducerIdentity producer) => state is null
        ? $"The transactional id '{transactionalId}' is not known; it may have expired: begin again with InitProducerId."
        : $"The transactional id '{transactionalId}' belongs to producer {state.ProducerId}, not to {producer.ProducerId}: begin again "
            + "with InitProducerId.";

    private static string Said(DateTimeOffset now, string what) =>
        string.Create(CultureInfo.InvariantCulture, $"{what} at {now.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss.fff'Z'}");
}
