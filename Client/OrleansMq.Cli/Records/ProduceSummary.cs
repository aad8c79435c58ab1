using System.Globalization;
using System.Text.Json.Serialization;

namespace OrleansMq.Cli.Records;

/// <summary>The result of <c>omq produce</c>.</summary>
/// <param name="Topic">The topic.</param>
/// <param name="Acknowledged">The number of acknowledged records.</param>
/// <param name="Bytes">Bytes of the lines read.</param>
/// <param name="Retries">The number of batches sent again.</param>
/// <param name="Seconds">The time from the first line to the last acknowledgement.</param>
internal sealed record ProduceSummary(string Topic, long Acknowledged, long Bytes, long Retries, double Seconds)
{
    /// <summary>Formats the summary as one line.</summary>
    public string Describe() => string.Create(CultureInfo.InvariantCulture,
        $"{Acknowledged:N0} {(Acknowledged == 1 ? "record" : "records")} acknowledged ({Bytes / 1e6:N1} MB) in {Seconds:N2} s, "
        + $"{Acknowledged / Math.Max(Seconds, 1e-9):N0}/s{RetriesText()}");

    private string RetriesText() =>
        Retries == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $", {Retries:N0} {(Retries == 1 ? "retry" : "retries")}");
}

/// <summary>The JSON of the record commands.</summary>
[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(ProduceSummary))]
internal sealed partial class RecordsJson : JsonSerializerContext;
