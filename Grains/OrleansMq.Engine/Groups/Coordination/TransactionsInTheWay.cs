using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

/// <summary>
/// The open transactions of a group since they were first in the way of a request. The coordinator of one that is for long is asked: a
/// commit that arrives when the end of its transaction is forgotten is ended by nothing else (see
/// <see cref="TransactionOffsetDecision.MaxFences"/>). In memory only: each gets the whole time again from the next coordinator of the
/// group.
/// </summary>
internal sealed class TransactionsInTheWay
{
    /// <summary>Most transactions are shorter. Also the pause between two questions about one.</summary>
    public static readonly TimeSpan AskAfter = TimeSpan.FromSeconds(10);

    // Readers that wait for an offset ask many times a second.
    private static readonly TimeSpan LookPause = TimeSpan.FromSeconds(1);

    // Questions of one look: the next look asks the others.
    private const int MostQuestions = 16;

    private readonly Dictionary<(long ProducerId, long Number), Seen> _seen = [];
    private DateTimeOffset _nextLook;

    /// <summary>Notes that open transactions are in the way.</summary>
    /// <param name="pending">Those of the group.</param>
    /// <param name="now">The time.</param>
    /// <returns>Those whose coordinator is to be asked.</returns>
    public IReadOnlyList<AskOfTransaction> Look(PendingOffsets pending, DateTimeOffset now)
    {
        if (now < _nextLook)
            return [];
        _nextLook = now + LookPause;
        foreach (var gone in _seen.Keys.Where(key => pending.Find(key.ProducerId)?.Number != key.Number).ToArray())
            _seen.Remove(gone);
        var due = new List<(DateTimeOffset AskAt, AskOfTransaction Question)>();
        foreach (var (producerId, transaction) in pending.Transactions)
        {
            var key = (producerId, transaction.Number);
            if (!_seen.TryGetValue(key, out var seen))
                _seen.Add(key, new Seen(now, now + AskAfter));
            else if (seen.AskAt <= now)
                due.Add((seen.AskAt, new AskOfTransaction(producerId, transaction.TransactionalId, transaction.Number)));
        }
        // In turn, however many there are.
        var questions = due.OrderBy(static one => one.AskAt).Take(MostQuestions).Select(static one => one.Question).ToArray();
        foreach (var question in questions)
        {
            var key = (question.ProducerId, question.Number);
            _seen[key] = _seen[key] with { AskAt = now + AskAfter };
        }
        return questions;
    }

    /// <summary>Says why nothing will end a transaction; null: its coordinator will, or the transaction is not known here.</summary>
    /// <param name="told">What the coordinator told, of a later moment than the one at which the transaction was seen open.</param>
    /// <param name="now">The time.</param>
    public string? FindWhyItHangs(TransactionTold told, DateTimeOffset now)
    {
        if (!_seen.TryGetValue((told.ProducerId, told.Number), out var seen))
            return null;
        // Its document may be lost: there is as long for its restore as a fence is kept.
        if (told.Known is not { } known)
            return now < seen.Since + TransactionOffsetDecision.FenceRetention ? null : "its transactional id is not known any more";
        // Its groups may be told to brokers alone, and do not count: what is open ends in all of them, or is a later transaction's by then.
        var isEnded = known.Phase is not (TransactionPhase.Ongoing or TransactionPhase.PrepareCommit or TransactionPhase.PrepareAbort)
            || known.Producer.ProducerId != told.ProducerId || known.Number != told.Number;
        return isEnded ? $"'{known.TransactionalId}' has no such open transaction ({known.LastEnd ?? "none was ended"})" : null;
    }

    /// <summary>A transaction that is in the way.</summary>
    /// <param name="Since">Since when.</param>
    /// <param name="AskAt">When its coordinator is asked.</param>
    private readonly record struct Seen(DateTimeOffset Since, DateTimeOffset AskAt);
}

/// <summary>Asks the coordinator of a transaction whether it is still open; answered by <see cref="TransactionTold"/>, or by nothing: it is
/// asked again.</summary>
/// <param name="ProducerId">The producer.</param>
/// <param name="TransactionalId">Its transactional id.</param>
/// <param name="Number">The transaction's number.</param>
internal sealed record AskOfTransaction(long ProducerId, string TransactionalId, long Number) : CoordinatorEffect;

/// <summary>The answer to <see cref="AskOfTransaction"/>.</summary>
/// <param name="ProducerId">The producer.</param>
/// <param name="Number">The transaction's number.</param>
/// <param name="Known">What the coordinator told of its transactional id; null: the id is not known.</param>
internal sealed record TransactionTold(long ProducerId, long Number, TransactionDescription? Known) : CoordinatorCommand;
