namespace OrleansMq.Client;

/// <summary>How far a transaction is.</summary>
internal enum TransactionStage
{
    /// <summary>It takes records and offsets.</summary>
    Open = 0,
    /// <summary>A commit runs, or its outcome is unknown.</summary>
    Committing = 1,
    /// <summary>The commit is stored.</summary>
    Committed = 2,
    /// <summary>It can only be aborted.</summary>
    Aborting = 3,
    /// <summary>The abort is stored, or nothing ever was at the broker.</summary>
    Aborted = 4,
    /// <summary>It was given up: the producer's next transaction ends it.</summary>
    Left = 5,
}

/// <summary>
/// One transaction apart from the types of its records. Thread-safe; offsets, commits and aborts run one at a time.
/// <para><c>Open -> Committing -> Committed</c>, or <c>Open | Committing -> Aborting -> Aborted</c>. What the coordinator refuses to commit
/// goes on to <c>Aborting</c>; a commit that is not answered stays in <c>Committing</c>, and may be repeated. Disposal ends in <c>Left</c>
/// where nobody answers.</para>
/// </summary>
internal sealed class TransactionRun(TransactionSequence sequence, TransactionCoordination coordination, BrokerTransaction transaction,
    ProducerCore core) : IAsyncDisposable
{
    // The next transaction aborts what is left, or its timeout does.
    private static readonly TimeSpan DisposePatience = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _turn = new(1);
    private volatile TransactionStage _stage;
    private bool _isFlushed;
    private bool _mayBeCommitted;

    /// <summary>The producer of its records.</summary>
    public ProducerCore Core => core;

    /// <summary>Whether the commit is stored.</summary>
    public bool IsCommitted => _stage == TransactionStage.Committed;

    /// <summary>Whether the next transaction may begin.</summary>
    public bool IsOver => _stage is TransactionStage.Committed or TransactionStage.Aborted or TransactionStage.Left;

    /// <summary>Refuses records and offsets of a transaction that has ended.</summary>
    public void RequireOpen()
    {
        if (_stage != TransactionStage.Open)
        {
            throw new InvalidOperationException($"The transaction of '{coordination.TransactionalId}' has ended, or is ending: begin "
                + "another.");
        }
    }

    /// <summary>Commits offsets with the transaction.</summary>
    /// <param name="member">The member, looked up for each attempt.</param>
    /// <param name="collect">Returns the offsets.</param>
    /// <param name="cancellationToken">Ends the wait, and fails the transaction.</param>
    public async Task SendOffsetsAsync(Func<ConsumerGroupMetadata> member, Func<IReadOnlyList<TransactionOffset>> collect,
        CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            RequireOpen();
            var offsets = collect();
            if (offsets.Count == 0)
                return;
            var group = member().GroupId
                ?? throw new InvalidOperationException("Offsets cannot be committed without a group. Set ConsumerOptions.GroupId.");
            var number = await transaction.AddGroupAsync(group, cancellationToken).ConfigureAwait(false);
            await new OffsetSending(coordination, transaction, group, number, member, offsets).SendAsync(cancellationToken)
                .ConfigureAwait(false);
        }
        catch (OrleansMqException e)
        {
            transaction.Fail(e as TransactionException ?? new TransactionException(e.Code, coordination.TransactionalId,
                $"Its offsets were not taken. Abort it. {e.Message}", e));
            throw;
        }
        catch (OperationCanceledException e)
        {
            // They may arrive yet, or not.
            transaction.Fail(new TransactionException(ErrorCode.RequestTimedOut, coordination.TransactionalId,
                "Sending its offsets was cancelled. Abort it.", e));
            throw;
        }
        finally
        {
            _turn.Release();
        }
    }

    public async Task CommitAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_stage is not (TransactionStage.Open or TransactionStage.Committing))
                throw Over();
            // From here on it takes no record: what is sent beside the commit is refused.
            _stage = TransactionStage.Committing;
            if (!_isFlushed)
                await core.FlushAsync(cancellationToken).ConfigureAwait(false);
            _isFlushed = true;
            transaction.Close();
            if (transaction.Failure is { } failure && !_mayBeCommitted)
            {
                _stage = TransactionStage.Aborting;
                throw failure;
            }
            if (transaction.MayBeOpen)
                await CommitOnceAsync(cancellationToken).ConfigureAwait(false);
            _stage = TransactionStage.Committed;
        }
        finally
        {
            _turn.Release();
        }
        await core.DisposeAsync().ConfigureAwait(false);
    }

    public async Task AbortAsync(CancellationToken cancellationToken)
    {
        // Ends a commit that still delivers records.
        if (!IsOver)
        {
            transaction.Fail(new TransactionException(ErrorCode.TransactionAbortable, coordination.TransactionalId,
                "It is being aborted."));
        }
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_stage is TransactionStage.Aborted)
                return;
            if (_stage is TransactionStage.Committed or TransactionStage.Left)
                throw Over();
            _stage = TransactionStage.Aborting;
            transaction.Close();
            // What is not sent is refused; a batch that is on its way is refused by the partition, or discarded with the transaction.
            _ = core.DisposeAsync().AsTask();
            if (transaction.MayBeOpen)
                await AbortOnceAsync(cancellationToken).ConfigureAwait(false);
            _stage = TransactionStage.Aborted;
        }
        finally
        {
            _turn.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (IsOver)
            return;
        using var patience = new CancellationTokenSource(DisposePatience, coordination.Time);
        try
        {
            await AbortAsync(patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            Leave($"No broker answered within {DisposePatience.TotalSeconds} s.");
        }
        catch (TransactionException e)
        {
            if (!IsOver)
                Leave(e.Message);
        }
        catch (InvalidOperationException) when (IsOver)
        {
            // Another caller has ended it meanwhile.
        }
    }

    private void Leave(string reason)
    {
        sequence.Leave(this);
        _stage = TransactionStage.Left;
        sequence.LogLeftOpen(reason);
    }

    private async Task CommitOnceAsync(CancellationToken cancellationToken)
    {
        var wasUnanswered = _mayBeCommitted;
        _mayBeCommitted = true;
        try
        {
            await sequence.EndAsync(this, transaction, isCommit: true, wasUnanswered, cancellationToken).ConfigureAwait(false);
        }
        catch (TransactionOutcomeUnknownException)
        {
            throw;
        }
        catch (ProducerFencedException)
        {
            // The coordinator has ended it, for the instance that took over.
            _stage = TransactionStage.Aborted;
            throw;
        }
        catch (TransactionException)
        {
            _stage = TransactionStage.Aborting;
            throw;
        }
    }

    private async Task AbortOnceAsync(CancellationToken cancellationToken)
    {
        try
        {
            await sequence.EndAsync(this, transaction, isCommit: false, wasUnanswered: false, cancellationToken).ConfigureAwait(false);
        }
        catch (ProducerFencedException)
        {
            _stage = TransactionStage.Aborted;
            throw;
        }
        catch (TransactionException e) when (e.Code == ErrorCode.InvalidTxnState)
        {
            // The commit whose outcome was unknown was stored.
            _stage = TransactionStage.Committed;
            throw;
        }
    }

    private InvalidOperationException Over() => new(_stage switch
    {
        TransactionStage.Committed => $"The transaction of '{coordination.TransactionalId}' is committed already.",
        TransactionStage.Aborting => $"The transaction of '{coordination.TransactionalId}' has failed: abort it.",
        _ => $"The transaction of '{coordination.TransactionalId}' is aborted already.",
    });
}
