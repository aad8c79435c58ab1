using System.Globalization;
using System.Text.Json.Serialization;

namespace OrleansMq.Cli.Records;

/// <summary>What a run of <c>omq produce</c> did.</summary>
/// <param name="Topic">Where to.</param>
/// <param name="Acknowledged">Records that the broker has.</param>
/// <param name="Bytes">Bytes of the lines read.</param>
/// <param name="Retries">Batches that were sent again.</param>
/// <param name="Seconds">From the first line to the last acknowledgement.</param>
internal sealed record ProduceSummary(string Topic, long Acknowledged, long Bytes, long Retries, double Seconds)
{
    /// <summary>The summary in one line.</summary>
    public string Describe() => string.Create(CultureInfo.InvariantCulture,
        $"{Acknowledged:N0} {(Acknowledged == 1 ? "record" : "records")} acknowledged ({Bytes / 1e6:N1} MB) in {Seconds:N2} s, "
        + $"{Acknowledged / Math.Max(Seconds, 1e-9):N0}/s{RetriesText()}");

    private string RetriesText() =>
        Retries == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $", {Retries:N0} {(Retries == 1 ? "retry" : "retries")}");
}

/// <summary>The JSON of the records' commands.</summary>
[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(ProduceSummary))]
internal sealed partial class RecordsJson : JsonSerializerContext;
