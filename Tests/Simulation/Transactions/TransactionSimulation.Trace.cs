using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

// The text of traced steps.
internal sealed partial class TransactionSimulation
{
    private string Describe(IEnumerable<TransactionPartition> partitions, IEnumerable<string> groups) =>
        string.Join(' ', [.. partitions.Select(partition => $"{FindPartition(partition)}"), .. groups]);

    private string Describe(IOwnedDocument? content) => content is not TransactionContent { State: var state } document ? "delete"
        : $"by {document.Coordinator.Epoch}+{state.EpochBase}: {state.Phase} {state.Producer}, last {state.LastEpoch}, next "
            + $"{state.NextProducerId}, transaction {Short(state.Number)} of [{Describe(state.Partitions, state.Groups)}]";

    private string Describe(object message) => message switch
    {
        InitTransactions init => $"init {(init.Current is { } current ? $"of {current}" : "")}",
        AddToTransaction { Caller.Connection: > 0 } add =>
            $"add {add.Producer} [{Describe(add.Partitions, add.Groups)}] over {Describe(add.Caller)}",
        AddToTransaction add => $"{(add.VerifyOnly ? "verify" : "add")} {add.Producer} [{Describe(add.Partitions, add.Groups)}]",
        EndTransaction end => $"{(end.IsCommit ? "commit" : "abort")} {end.Producer} over {Describe(end.Caller)}",
        InitTransactionsResult result => $"{result.Error} {result.Producer} {result.Message}",
        AddToTransactionResult result => $"{result.Error} {Short(result.Number)} {result.Message}",
        EndTransactionResult result => $"{result.Error} {result.Producer} {result.Message}",
        _ => message.ToString() ?? "",
    };

    private static string Describe(in TransactionCaller caller) => $"{caller.BrokerId}/{caller.Connection}";

    /// <summary>A transaction's number without the time when the run begins.</summary>
    public static long Short(long number) => number == 0 ? 0 : number - Epoch.ToUnixTimeMilliseconds();
}
