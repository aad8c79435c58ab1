using System.CommandLine;
using OrleansMq.Cli.Groups;
using OrleansMq.Cli.Records;

namespace OrleansMq.Cli.Queues;

/// <summary>The options by which a queue delivers.</summary>
internal sealed class DeliveryOptions
{
    private readonly Option<int?> _maxFailures = new Option<int?>("--max-failures") { Description = "How often a record may fail before "
        + "it is rejected; 0 for no limit.", HelpName = "N" }.AtLeast(0);
    private readonly Option<string?> _retryDelay = new("--retry-delay") { Description = "How long a record waits after its first failure: "
        + "500ms is 0.5s, also 30m, 12h. Each further failure doubles it.", HelpName = "TIME" };
    private readonly Option<string?> _maxRetryDelay = new("--max-retry-delay") { Description = "The longest wait after a failure; 10m by "
        + "default.", HelpName = "TIME" };
    private readonly Option<string?> _timeToLive = new("--time-to-live") { Description = "How long a record lives after the broker "
        + "appended it; 0s for ever. The topic needs message.timestamp.type=LogAppendTime.", HelpName = "TIME" };
    private readonly Option<bool?> _recordTimes = new("--record-times") { Description = $"The headers {QueueHeaders.DeliverAt} and "
        + $"{QueueHeaders.ExpiresAt} of records count, milliseconds since 1970.", HelpName = "true|false" };
    private readonly Option<long?> _maxLength = new("--max-length") { Description = "The most records that wait; 0 for no limit.",
        HelpName = "N" };
    private readonly Option<long?> _maxBytes = new("--max-bytes") { Description = "The most bytes of values of the records that wait; -1 "
        + "for no limit.", HelpName = "BYTES" };
    private readonly Option<bool?> _noBacklog = new("--no-backlog") { Description = "No record waits: one that no consumer takes as it "
        + "comes is one too many.", HelpName = "true|false" };
    private readonly Option<string?> _overflow = new("--overflow") { Description = "At a limit: the first records leave the queue, "
        + "or nothing more is appended to the partition.", HelpName = DropHead + "|" + RefusePublish };

    private readonly Option<string?> _deadLetters = new("--dead-letter-topic") { Description = "The topic for records that are rejected, "
        + "expire, exceed a limit, or fail --max-failures times. It must exist. Without one, or with \"\", they are dropped.",
        HelpName = "TOPIC" };

    private const string DropHead = "drop-head";
    private const string RefusePublish = "refuse-publish";

    /// <summary>Adds the options to a command.</summary>
    public DeliveryOptions(Command command)
    {
        _overflow.AcceptOnlyFromAmong(DropHead, RefusePublish);
        foreach (var option in (Option[])[_maxFailures, _retryDelay, _maxRetryDelay, _timeToLive, _recordTimes, _maxLength, _maxBytes,
            _noBacklog, _overflow, _deadLetters])
            command.Add(option);
    }

    /// <summary>Returns options with those that the command line has.</summary>
    public QueueOptions Apply(ParseResult parsed, QueueOptions options) => options with
    {
        MaxFailures = parsed.GetValue(_maxFailures) ?? options.MaxFailures,
        RetryDelay = DurationOf(parsed, _retryDelay) ?? options.RetryDelay,
        MaxRetryDelay = DurationOf(parsed, _maxRetryDelay) ?? options.MaxRetryDelay,
        TimeToLive = DurationOf(parsed, _timeToLive) ?? options.TimeToLive,
        HasRecordTimes = parsed.GetValue(_recordTimes) ?? options.HasRecordTimes,
        MaxLength = parsed.GetValue(_maxLength) ?? options.MaxLength,
        MaxBytes = parsed.GetValue(_maxBytes) switch { null => options.MaxBytes, -1 => null, var bytes => bytes },
        HasNoBacklog = parsed.GetValue(_noBacklog) ?? options.HasNoBacklog,
        Overflow = parsed.GetValue(_overflow) switch
        {
            DropHead => QueueOverflow.DropHead,
            RefusePublish => QueueOverflow.RefusePublish,
            _ => options.Overflow,
        },
        DeadLetterTopic = parsed.GetValue(_deadLetters) switch { null => options.DeadLetterTopic, "" => null, var topic => topic },
    };

    private static TimeSpan? DurationOf(ParseResult parsed, Option<string?> option) =>
        parsed.GetValue(option) is { } text ? Times.ParseDuration(option.Name, text) : null;
}
