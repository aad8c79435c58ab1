using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using OrleansMq.Records;

namespace OrleansMq.Cli.Records;

/// <summary>
/// One run of <c>omq produce</c>. Lines become records in the order in which they are read; the first failure ends the run. The producer is
/// idempotent unless acks disables it, and survives a restart of the broker.
/// </summary>
internal sealed class ProduceRun(HttpBroker broker, string topic)
{
    // Long enough for a working broker, short enough for a user who pressed Ctrl-C.
    private static readonly TimeSpan InterruptedPatience = TimeSpan.FromSeconds(5);

    private long _acknowledged;
    private readonly TaskCompletionSource _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ProduceException? _failure;

    /// <summary>The separator of key and value; null if lines have no key.</summary>
    public byte[]? Separator { get; init; }

    /// <summary>The partition; null to let the producer choose.</summary>
    public int? Partition { get; init; }

    /// <summary>Whether the records need not survive a power cut.</summary>
    public bool IsTransient { get; init; }

    /// <summary>Whether a carriage return at the end of a line is dropped.</summary>
    public bool TrimCarriageReturn { get; init; }

    /// <summary>The producer's options.</summary>
    public ProducerOptions Options { get; init; } = new();

    /// <summary>The transactional id, for all lines in one transaction; null for none.</summary>
    public string? TransactionalId { get; init; }

    /// <summary>How long the transaction may be open.</summary>
    public TimeSpan TransactionTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Sends all lines of <paramref name="input"/> and waits for their acknowledgements.</summary>
    /// <exception cref="CommandFailedException">Not all lines were acknowledged; the message gives their number and the reason.</exception>
    public async Task<ProduceSummary> RunAsync(Stream input, CancellationToken cancellationToken)
    {
        var description = await broker.DescribeTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        var maxBatchBytes = MaxBatchBytes(description);
        var maxRecordBytes = maxBatchBytes - RecordBatchHeader.Size;
        var options = Options with
        {
            MaxRequestSize = maxRecordBytes,
            BatchSize = Math.Min(Options.BatchSize, maxBatchBytes),
            BufferMemory = Math.Max(Options.BufferMemory, maxRecordBytes),
        };
        var lines = new LineReader(input, maxRecordBytes - RecordBatchBuilder.MaxRecordSize(0, 0, []), TrimCarriageReturn);
        var start = Stopwatch.GetTimestamp();
        if (TransactionalId is not null)
            return await InTransactionAsync(lines, options, maxBatchBytes, start, cancellationToken).ConfigureAwait(false);
        // Not disposed after an interruption: that would wait for deliveries that the user no longer wants, and the program ends anyway.
        var producer = new Producer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>(broker, OptionalBytes.Instance, OptionalBytes.Instance,
            options);
        await SendAllAsync(lines, producer, maxBatchBytes, start, cancellationToken).ConfigureAwait(false);
        await producer.DisposeAsync().ConfigureAwait(false);
        return Summary(lines, producer.Statistics.Retries, start);
    }

    private async Task SendAllAsync(LineReader lines, IProducer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> producer, int maxBatchBytes,
        long start, CancellationToken cancellationToken)
    {
        using (new ProgressLine(() => Progress(lines.LineNumber, producer.Statistics.Retries, start)))
        {
            var stopped = await SendAsync(lines, producer, cancellationToken).ConfigureAwait(false)
                ?? await FlushAsync(producer, cancellationToken).ConfigureAwait(false);
            if ((_failure ?? stopped) is { } failure)
                throw Explain(failure, lines, maxBatchBytes);
        }
    }

    /// <summary>Sends all lines in one transaction. Whatever ends the run early aborts it.</summary>
    private async Task<ProduceSummary> InTransactionAsync(LineReader lines, ProducerOptions options, int maxBatchBytes, long start,
        CancellationToken cancellationToken)
    {
        var producer = new OrleansMqClient(broker).CreateTransactionalProducer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>(
            TransactionalId!, new TransactionalProducerOptions
            {
                TransactionTimeout = TransactionTimeout,
                RequestTimeout = options.DeliveryTimeout,
                Producer = options,
            }, OptionalBytes.Instance, OptionalBytes.Instance);
        try
        {
            await using (producer.ConfigureAwait(false))
            {
                var transaction = await producer.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
                await SendAllAsync(lines, transaction, maxBatchBytes, start, cancellationToken).ConfigureAwait(false);
                await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
                return Summary(lines, transaction.Statistics.Retries, start);
            }
        }
        catch (CommandFailedException e)
        {
            throw new CommandFailedException(e.ExitCode, $"{e.Message} The transaction is aborted: none of them counts.", e);
        }
        catch (TransactionOutcomeUnknownException e)
        {
            throw new CommandFailedException(ExitCode.Unreachable, $"{e.Message} Read the topic with --isolation read_committed to learn "
                + "whether the lines are in it.", e);
        }
        catch (TransactionException e)
        {
            throw e.Action == ErrorAction.Retry ? new CommandFailedException(ExitCode.Unreachable, e.Message, e)
                : CommandFailedException.Refused(e.Message, e);
        }
        catch (OperationCanceledException e)
        {
            throw CommandFailedException.Refused("Interrupted: the transaction is aborted, or was being committed. Read the topic with "
                + "--isolation read_committed to learn which.", e);
        }
    }

    private ProduceSummary Summary(LineReader lines, long retries, long start) => new(topic, Volatile.Read(ref _acknowledged),
        lines.BytesRead, retries, Stopwatch.GetElapsedTime(start).TotalSeconds);

    /// <summary>Sends line by line, and waits until all sent records are acknowledged or have failed. Returns what ended the input early,
    /// if anything.</summary>
    private async Task<Exception?> SendAsync(LineReader lines, IProducer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> producer,
        CancellationToken cancellationToken)
    {
        try
        {
            // Reading blocks its thread and cannot be cancelled. On an interruption or a failed record the thread is abandoned.
            var sending = Task.Run(() => Send(lines, producer, cancellationToken), CancellationToken.None);
            await (await Task.WhenAny(sending, _failed.Task).WaitAsync(cancellationToken).ConfigureAwait(false)).ConfigureAwait(false);
            return null;
        }
        catch (Exception e)
            when (e is OperationCanceledException or LineTooLongException or CommandFailedException or ProduceException or IOException)
        {
            await FlushAsync(producer, cancellationToken).ConfigureAwait(false);
            return e;
        }
    }

    /// <summary>Waits for the sent records: until their deadline, or only briefly after an interruption.</summary>
    private static async Task<Exception?> FlushAsync(IProducer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> producer,
        CancellationToken cancellationToken)
    {
        try
        {
            await producer.FlushAsync(cancellationToken).ConfigureAwait(false);
            return null;
        }
        catch (OperationCanceledException e)
        {
            // The outcome is not needed: acknowledgements are counted as they arrive.
            await Task.WhenAny(producer.FlushAsync(CancellationToken.None),
                Task.Delay(InterruptedPatience, CancellationToken.None)).ConfigureAwait(false);
            return e;
        }
    }

    private void Send(LineReader lines, IProducer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> producer,
        CancellationToken cancellationToken)
    {
        Action<DeliveryReport> delivered = OnDelivered;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (Volatile.Read(ref _failure) is not null || !lines.TryRead(out var line))
                return;
            var (key, value) = Split(line, lines.LineNumber);
            var record = new ProducerRecord<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>(topic, key, value)
            {
                Partition = Partition,
                IsPersistent = !IsTransient,
            };
            producer.Send(record, delivered, cancellationToken);
        }
    }

    private void OnDelivered(DeliveryReport report)
    {
        if (report.Error is null)
            Interlocked.Increment(ref _acknowledged);
        else if (Interlocked.CompareExchange(ref _failure, report.Error, null) is null)
            _failed.TrySetResult();
    }

    private (ReadOnlyMemory<byte>? Key, ReadOnlyMemory<byte> Value) Split(ReadOnlyMemory<byte> line, long lineNumber)
    {
        if (Separator is null)
            return (null, line);
        var at = line.Span.IndexOf(Separator);
        return at >= 0
            ? (line[..at], line[(at + Separator.Length)..])
            : throw CommandFailedException.Refused($"Line {lineNumber} has no key separator.");
    }

    private int MaxBatchBytes(TopicDescription description)
    {
        if (Partition >= description.Partitions.Count)
        {
            throw CommandFailedException.Refused(
                $"Topic '{topic}' has no partition {Partition}: its partitions are 0 to {description.Partitions.Count - 1}.");
        }
        var setting = description.Configs.FirstOrDefault(config => config.Name == "max.message.bytes")?.Value;
        var max = int.TryParse(setting, NumberStyles.None, CultureInfo.InvariantCulture, out var bytes) ? bytes : Options.MaxRequestSize;
        // The producer needs batches of at least 1 KiB. If the topic's limit is lower, the broker rejects them.
        return Math.Max(max, 1024 + RecordBatchHeader.Size);
    }

    private CommandFailedException Explain(Exception e, LineReader lines, int maxBatchBytes)
    {
        var acknowledged = string.Create(CultureInfo.InvariantCulture, $"{Volatile.Read(ref _acknowledged):N0} lines were acknowledged.");
        return e switch
        {
            LineTooLongException tooLong => CommandFailedException.Refused(
                $"Line {tooLong.LineNumber} is longer than {tooLong.MaxLineBytes} bytes, which is what fits into topic '{topic}' with "
                + $"max.message.bytes={maxBatchBytes}. Shorten it, or raise the setting by 'omq topic alter'. {acknowledged}", e),
            ProduceException { Code: ErrorCode.LeaderNotAvailable or ErrorCode.RequestTimedOut } =>
                new CommandFailedException(ExitCode.Unreachable,
                $"{e.Message} {acknowledged}", e),
            OperationCanceledException => CommandFailedException.Refused(
                string.Create(CultureInfo.InvariantCulture, $"Interrupted after {lines.LineNumber:N0} lines; {acknowledged}"), e),
            _ => CommandFailedException.Refused($"{e.Message} {acknowledged}", e),
        };
    }

    private string Progress(long read, long retries, long start)
    {
        var acknowledged = Volatile.Read(ref _acknowledged);
        var rate = acknowledged / Stopwatch.GetElapsedTime(start).TotalSeconds;
        var retried = retries > 0 ? string.Create(CultureInfo.InvariantCulture, $", {retries:N0} retries") : "";
        return string.Create(CultureInfo.InvariantCulture, $"{read:N0} lines read, {acknowledged:N0} acknowledged, {rate:N0}/s{retried}");
    }
}
