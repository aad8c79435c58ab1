using System.CommandLine;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Replicas;
using OrleansMq.Client;

namespace OrleansMq.Cli.Transactions;

/// <summary><c>omq transaction ...</c>: list, describe, abort.</summary>
internal static class TransactionCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("transaction", "Shows transactional ids and their last transactions, aborts open ones.",
            "omq transaction list --open", "omq transaction describe billing-1", "omq transaction abort billing-1")
        {
            List(), Describe(), Abort(),
        };

    private static OmqCommand List()
    {
        var open = new Option<bool>("--open") { Description = "Leaves out ids without a transaction that is open or being ended." };
        var max = new Option<int?>("--max") { Description = "The most ids; by default all.", HelpName = "N" }.AtLeast(1);
        var after = new Option<string?>("--after") { Description = "Only ids behind this one, in ordinal order.", HelpName = "ID" };
        var command = new OmqCommand("list", "Lists the transactional ids with the phases of their last transactions.",
            "omq transaction list", "omq transaction list --open --json | jq -r '.[].transactionalId'") { open, max, after };
        BrokerCall.Show(command, async (broker, parsed, cancellationToken) =>
        {
            var (onlyOpen, behind) = (parsed.GetValue(open), parsed.GetValue(after));
            var listed = await broker.Transactions.ListTransactionsAsync(cancellationToken).ConfigureAwait(false);
            IReadOnlyList<TransactionListing> shown = [.. listed.Where(one => string.CompareOrdinal(one.TransactionalId, behind) > 0
                && (!onlyOpen || one.StartedAt is not null)).Take(parsed.GetValue(max) ?? int.MaxValue)];
            return shown;
        }, TransactionJson.Default.IReadOnlyListTransactionListing, TransactionTables.List);
        return command;
    }

    private static OmqCommand Describe()
    {
        var id = IdArgument();
        var command = new OmqCommand("describe", "Shows a transactional id: its producer, the partitions and groups of its open "
            + "transaction, and who ended the last one or fenced an earlier instance, when and why.",
            "omq transaction describe billing-1", "omq transaction describe billing-1 --json | jq -r .lastFence") { id };
        BrokerCall.Show(command, async (broker, parsed, cancellationToken) =>
            TransactionDescriptionDocument.Of(await broker.Transactions.SendAsync(new DescribeTransaction(parsed.GetRequiredValue(id)),
                cancellationToken).ConfigureAwait(false)),
            TransactionJson.Default.TransactionDescriptionDocument, TransactionTables.Describe);
        return command;
    }

    private static OmqCommand Abort()
    {
        var id = IdArgument();
        var number = new Option<long?>("--number")
        {
            Description = "The transaction's number: see omq transaction describe. Unless given, the one that is open now.",
        };
        var command = new OmqCommand("abort", "Aborts the open transaction of a transactional id. This cannot be undone. Its producer is "
            + "fenced; one with an epoch for each transaction, as of Java from 4.0 on and .NET, goes on with the next.",
            "omq transaction abort billing-1", "omq transaction abort billing-1 --number 1767225600000") { id, number };
        BrokerCall.Show(command, async (broker, parsed, cancellationToken) => TransactionDescriptionDocument.Of(
                await AbortAsync(broker, parsed.GetRequiredValue(id), parsed.GetValue(number), cancellationToken).ConfigureAwait(false)),
            TransactionJson.Default.TransactionDescriptionDocument, TransactionTables.Aborted);
        return command;
    }

    // With its number, so that a request that is sent again, to another broker, aborts no later transaction.
    private static async Task<TransactionDescription> AbortAsync(IBroker broker, string id, long? number,
        CancellationToken cancellationToken)
    {
        number ??= (await broker.Transactions.SendAsync(new DescribeTransaction(id), cancellationToken).ConfigureAwait(false)) is
            { Phase: TransactionPhase.Ongoing or TransactionPhase.PrepareAbort } open ? open.Number : 0;
        return await broker.Transactions.SendAsync(new AbortTransaction(id, Number: number.Value), cancellationToken).ConfigureAwait(false);
    }

    private static Argument<string> IdArgument() => new("ID") { Description = "The transactional id: see omq transaction list." };
}
