using OrleansMq.Gateways.Kafka.Transactions;

namespace OrleansMq.Tests.Kafka.Transactions;

/// <summary>The errors that each version of a request knows.</summary>
public sealed class TransactionErrorsTests
{
    private static readonly ErrorCode[] OfEnd =
    [
        ErrorCode.None, ErrorCode.CoordinatorLoadInProgress, ErrorCode.CoordinatorNotAvailable, ErrorCode.NotCoordinator,
        ErrorCode.InvalidProducerEpoch, ErrorCode.InvalidTxnState, ErrorCode.InvalidProducerIdMapping, ErrorCode.ConcurrentTransactions,
        ErrorCode.TransactionalIdAuthorizationFailed, ErrorCode.ProducerFenced, ErrorCode.TransactionAbortable,
    ];

    private static readonly Dictionary<string, Func<ErrorCode, short, ErrorCode>> Translations = new()
    {
        ["init"] = TransactionErrors.OfInit,
        ["partitions"] = TransactionErrors.OfAddPartitions,
        ["offsets"] = TransactionErrors.OfAddOffsets,
        ["end"] = TransactionErrors.OfEnd,
        ["commit"] = TransactionErrors.OfOffsetCommit,
        ["produce"] = TransactionErrors.OfProduce,
    };

    // The first version that knows the error, and what earlier ones get.
    [Theory]
    [InlineData("init", 90, 4, 47)]
    [InlineData("init", 120, 5, 48)]
    [InlineData("partitions", 90, 2, 47)]
    [InlineData("partitions", 120, 99, 48)]
    [InlineData("offsets", 90, 2, 47)]
    [InlineData("offsets", 120, 4, 48)]
    [InlineData("end", 90, 2, 47)]
    [InlineData("end", 120, 4, 48)]
    [InlineData("commit", 90, 99, 47)]
    [InlineData("commit", 120, 4, 48)]
    [InlineData("commit", 14, 2, 15)]
    [InlineData("commit", 113, 99, 22)]
    [InlineData("commit", 110, 99, 22)]
    [InlineData("produce", 90, 99, 47)]
    [InlineData("produce", 120, 11, 48)]
    [InlineData("produce", 51, 12, 19)]
    [InlineData("produce", 14, 99, 19)]
    [InlineData("produce", 15, 99, 19)]
    [InlineData("produce", 16, 99, 19)]
    [InlineData("produce", 7, 99, 19)]
    [InlineData("init", 56, 99, 15)]
    [InlineData("partitions", 7, 99, 15)]
    [InlineData("offsets", 8, 99, 15)]
    [InlineData("end", 7, 99, 15)]
    [InlineData("end", 42, 99, 48)]
    [InlineData("end", -1, 99, 48)]
    [InlineData("commit", 7, 99, 15)]
    public void Older_versions_get_an_error_that_they_know(string request, short error, short knownFrom, short before)
    {
        for (short version = 0; version <= 13; version++)
            Assert.Equal((ErrorCode)(version < knownFrom ? before : error), Translations[request]((ErrorCode)error, version));
    }

    // What clients of all versions know is left as it is.
    [Theory]
    [InlineData("init", 0, 14, 15, 16, 42, 47, 49, 50, 51, 53)]
    [InlineData("partitions", 0, 3, 14, 15, 16, 29, 47, 48, 49, 51, 53, 55)]
    [InlineData("offsets", 0, 14, 15, 16, 24, 30, 47, 48, 49, 51, 53)]
    [InlineData("end", 0, 14, 15, 16, 47, 48, 49, 51, 53)]
    [InlineData("commit", 0, 3, 12, 15, 16, 22, 24, 25, 29, 30, 47, 48, 49, 51, 53, 82)]
    [InlineData("produce", 0, 29, 47, 48, 49, 53)]
    public void Other_errors_pass(string request, params int[] errors) => Assert.All(errors, error =>
    {
        for (short version = 0; version <= 13; version++)
            Assert.Equal((ErrorCode)error, Translations[request]((ErrorCode)error, version));
    });

    [Fact]
    public void Only_errors_that_end_a_transaction_are_answered_to_its_end()
    {
        for (short version = 0; version <= 5; version++)
        {
            foreach (var error in Enum.GetValues<ErrorCode>())
            {
                var answered = TransactionErrors.OfEnd(error, version);
                Assert.Contains(answered, OfEnd);
                Assert.Equal(error == ErrorCode.None, answered == ErrorCode.None);
            }
        }
    }

    [Theory]
    [InlineData(120, 10, 48)]
    [InlineData(120, 11, 120)]
    [InlineData(48, 3, 48)]
    [InlineData(47, 3, 47)]
    [InlineData(0, 3, 0)]
    public void Error_of_an_append_is_one_that_the_version_knows(short error, short version, short expected) =>
        Assert.Equal((ErrorCode)expected, TransactionErrors.OfAppend((ErrorCode)error, version));
}
