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
/// One transaction apart from the types of its records. Thread-safe; commits and aborts run one at a time.
/// <para><c>Open -> Committing -> Committed</c>, or <c>Open | Committing -> Aborting -> Aborted</c>. What the coordinator refuses to commit
/// goes on to <c>Aborting</c>; a commit that is not answered stays in <c>Committing</c>, and may be repeated.</para>
/// </summary>
internal sealed class TransactionRun(TransactionSequence sequence, TransactionCoordination coordination, BrokerTransaction transaction,
    ProducerCore core) : IAsyncDisposable
{
    // The next transaction aborts what is left, or its timeout does.
    private static readonly TimeSpan DisposePatience = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _turn = new(1);
    private volatile TransactionStage _stage;

    /// <summary>The producer of its records.</summary>
    public ProducerCore Core => core;

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
    /// <param name="offsets">The offsets.</param>
    /// <param name="cancellationToken">Ends the wait, and fails the transaction.</param>
    public async Task SendOffsetsAsync(Func<ConsumerGroupMetadata> member, IReadOnlyList<TransactionOffset> offsets,
        CancellationToken cancellationToken)
    {
        RequireOpen();
        if (offsets.Count == 0)
            return;
        try
        {
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
    }

    public async Task CommitAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_stage is not (TransactionStage.Open or TransactionStage.Committing))
                throw Over();
            if (_stage == TransactionStage.Open)
                await core.FlushAsync(cancellationToken).ConfigureAwait(false);
            if (transaction.Failure is { } failure)
            {
                Close(TransactionStage.Aborting);
                throw failure;
            }
            Close(TransactionStage.Committing);
            if (transaction.MayBeOpen)
                await EndAsync(isCommit: true, cancellationToken).ConfigureAwait(false);
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
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_stage is TransactionStage.Aborted)
                return;
            if (_stage is TransactionStage.Committed or TransactionStage.Left)
                throw Over();
            Close(TransactionStage.Aborting);
            // What is not sent is refused; a batch that is on its way is refused by the partition, or discarded with the transaction.
            _ = core.DisposeAsync().AsTask();
            if (transaction.MayBeOpen)
                await EndAsync(isCommit: false, cancellationToken).ConfigureAwait(false);
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
            _stage = TransactionStage.Left;
            sequence.LogLeftOpen($"No broker answered within {DisposePatience.TotalSeconds} s.");
        }
        catch (TransactionException e)
        {
            var isFenced = _stage == TransactionStage.Aborted;
            _stage = TransactionStage.Left;
            if (!isFenced)
                sequence.LogLeftOpen(e.Message);
        }
        catch (InvalidOperationException) when (IsOver)
        {
            // Another caller has ended it meanwhile.
        }
    }

    private async Task EndAsync(bool isCommit, CancellationToken cancellationToken)
    {
        try
        {
            await sequence.EndAsync(transaction, isCommit, cancellationToken).ConfigureAwait(false);
        }
        catch (ProducerFencedException)
        {
            // The coordinator has aborted it.
            _stage = TransactionStage.Aborted;
            throw;
        }
        catch (TransactionException e) when (isCommit && e is not TransactionOutcomeUnknownException)
        {
            _stage = TransactionStage.Aborting;
            throw;
        }
    }

    private void Close(TransactionStage stage)
    {
        _stage = stage;
        transaction.Close();
    }

    private InvalidOperationException Over() => new(_stage switch
    {
        TransactionStage.Committed => $"The transaction of '{coordination.TransactionalId}' is committed already.",
        TransactionStage.Aborting => $"The transaction of '{coordination.TransactionalId}' has failed: abort it.",
        _ => $"The transaction of '{coordination.TransactionalId}' is aborted already.",
    });
}
