namespace OrleansMq.Client;

/// <summary>
/// A message handler that the host runs: its state, and how to resume what has stopped. Inject
/// <c>IEnumerable&lt;IHostedMessageHandler&gt;</c> for all handlers, or <c>[FromKeyedServices("Billing")] IHostedMessageHandler</c> for the
/// one of that <see cref="Name"/>.
/// </summary>
public interface IHostedMessageHandler
{
    /// <summary>Its name: that of its type, with <c>-2</c> for the second registration of one type.</summary>
    string Name { get; }

    /// <summary>The partitions assigned to it; none before the start.</summary>
    IReadOnlyCollection<TopicPartition> Assignment { get; }

    /// <summary>Its assigned partitions that have stopped before a record, with the reason.</summary>
    IReadOnlyDictionary<TopicPartition, Exception> Stopped { get; }

    /// <summary>Counters since the start.</summary>
    MessageProcessorStatistics Statistics { get; }

    /// <summary>Completes when it has stopped. Fails if its consumer cannot be a member of its group (any more). Completed before the
    /// start.</summary>
    Task Completion { get; }

    /// <summary>Resumes a stopped partition, with the record that stopped it.</summary>
    /// <exception cref="InvalidOperationException">The partition is not (or no longer) assigned to this handler.</exception>
    void Resume(TopicPartition partition);
}
