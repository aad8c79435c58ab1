namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="BrokerException"/> between silos: code and message. The inner exception is not sent; it stays in
/// the log of its silo.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.BrokerException.1")]
internal struct BrokerExceptionSurrogate
{
    [Id(0)] public short Code;
    [Id(1)] public string Message;
}

[RegisterConverter]
internal sealed class BrokerExceptionConverter : IConverter<BrokerException, BrokerExceptionSurrogate>
{
    public BrokerException ConvertFromSurrogate(in BrokerExceptionSurrogate surrogate) => new((ErrorCode)surrogate.Code, surrogate.Message);

    public BrokerExceptionSurrogate ConvertToSurrogate(in BrokerException value) =>
        new() { Code = (short)value.Code, Message = value.Message };
}
