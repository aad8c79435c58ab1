using OrleansMq.Api;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>Brokers that are broken under a load of transactions.</summary>
internal interface IBrokersUnderTest : IAsyncDisposable
{
    /// <summary>The addresses for Kafka's clients.</summary>
    string Servers { get; }

    /// <summary>The number of each partition's replicas.</summary>
    short Replicas { get; }

    /// <summary>The brokers' own API of transactions; null: they have none.</summary>
    ITransactionCoordinator? Transactions { get; }

    /// <summary>The faults so far, for the figures.</summary>
    string Faults { get; }

    /// <summary>Injects faults and reverts them until the time is over.</summary>
    /// <param name="seed">Decides the faults.</param>
    /// <param name="time">Ends the faults.</param>
    /// <param name="cancellationToken">Cancels the run.</param>
    Task BreakAsync(int seed, CancellationToken time, CancellationToken cancellationToken);

    /// <summary>Waits until all brokers serve.</summary>
    Task WellAsync(CancellationToken cancellationToken);
}
