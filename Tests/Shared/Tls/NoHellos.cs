namespace OrleansMq.Tests.Shared;

/// <summary>First records of clients that hold no whole ClientHello, in hexadecimal.</summary>
public static class NoHellos
{
    public static IReadOnlyList<string> Records { get; } =
    [
        // A Finished of no bytes.
        "160303" + "0004" + "14" + "000000",
        // A ClientHello of no bytes.
        "160301" + "0004" + "01" + "000000",
        // A ClientHello that ends within the length of its extensions.
        "160301" + "002e" + "01" + "00002a" + "0303" + new string('7', 64) + "00" + "0002" + "1301" + "0100" + "00",
    ];

    public static TheoryData<string> All { get; } = [.. Records];
}
