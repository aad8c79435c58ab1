namespace OrleansMq.Tests.Engine.Crash;

/// <summary>Proves that the checker can fail: it detects each of these bugs and names it.</summary>
public class CheckerTests
{
    [Fact]
    public Task Acknowledgement_before_the_flush_is_detected() =>
        IsFoundAsync<AcknowledgesBeforeFlush>(FaultKind.PowerCut, "was durable and is lost", "offline, and nothing was damaged");

    [Fact]
    public Task Truncation_below_the_flushed_point_is_detected() =>
        IsFoundAsync<CutsBelowTheFlushedPoint>(FaultKind.ProcessKill, "was durable and is lost");

    [Fact]
    public Task Recovery_without_crc_is_detected() =>
        IsFoundAsync<DoesNotCheckTheCrc>(FaultKind.ProcessKill, "the record is not as it was sent");

    [Fact]
    public Task Invented_record_is_detected() => IsFoundAsync<InventsARecord>(FaultKind.ProcessKill, "holds a record that was never sent");

    [Fact]
    public Task Duplicated_retry_is_detected() => IsFoundAsync<DoublesRetries>(FaultKind.ProcessKill, "the record is there twice");

    [Fact]
    public Task Lost_append_is_detected() =>
        IsFoundAsync<LosesAppends>(FaultKind.ProcessKill, "was durable and is lost", "lost by a kill of the process",
            "the record was acknowledged at", "was read, and is");

    [Fact]
    public Task Wrong_index_is_detected() => IsFoundAsync<LeavesAWrongIndex>(FaultKind.ProcessKill, "no batch at");

    /// <summary>Runs rounds with the bug until the checker reports one of the phrases. The suite shows that the same rounds pass without
    /// it.</summary>
    private static async Task IsFoundAsync<TMutant>(FaultKind kind, params string[] phrases)
        where TMutant : Mutant, new()
    {
        const int MostRounds = 60;
        var found = new List<string>();
        for (var round = 0; round < MostRounds; round++)
        {
            var seed = (round * 7) + (int)kind - 1;
            try
            {
                await new CrashRound(seed, new TMutant()).RunAsync();
            }
            catch (CheckFailedException exception)
            {
                found.Add(exception.Message);
            }
            if (found.Exists(message => phrases.Any(phrase => message.Contains(phrase, StringComparison.Ordinal))))
                return;
        }
        Assert.Fail($"{MostRounds} rounds with the bug {typeof(TMutant).Name}, and the checker reported none of "
            + $"'{string.Join("', '", phrases)}', but:\n{string.Join('\n', found.Distinct())}");
    }
}
