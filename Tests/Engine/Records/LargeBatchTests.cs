namespace OrleansMq.Tests.Engine.Records;

/// <summary>Tests that take a turn of large batches, which all of the process share, run one after the other.</summary>
internal static class LargeBatchTests
{
    public const string Name = "Large batches";
}
