"""The names that some released Keras (1, 2, tf.keras, 3) ships. Whatever is absent here is custom.

A name is known when *any* generation shipped it: whether the target has it too is decided by the
translation, not here.
"""

from __future__ import annotations

LAYERS = frozenset(
    """
    Activation ActivityRegularization ActivityRegularizer Add AdditiveAttention AlphaDropout Attention
    AtrousConv1D AtrousConv2D AtrousConvolution1D AtrousConvolution2D AutoContrast Average
    AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D AugMix
    BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryCrossing
    CategoryEncoding CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
    Conv3DTranspose ConvLSTM1D ConvLSTM1DCell ConvLSTM2D ConvLSTM2DCell ConvLSTM3D ConvLSTM3DCell
    ConvRecurrent2D ConvRNN2D Convolution1D Convolution2D Convolution3D Convolution1DTranspose
    Convolution2DTranspose Convolution3DTranspose Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM
    CutMix Deconvolution2D Deconvolution3D Dense DenseFeatures DepthwiseConv1D DepthwiseConv2D
    DepthwiseConvolution1D DepthwiseConvolution2D Discretization Dot Dropout EinsumDense ELU Embedding
    Equalization ExponentialLayer FlaxLayer Flatten GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D
    GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D
    GlobalMaxPooling2D GlobalMaxPooling3D GRU GRUCell GRUCellV1 GRUCellV2 GRUV1 GRUV2
    GroupNormalization GroupQueryAttention Hashing HashedCrossing Highway Identity InputLayer
    InputSpec IntegerLookup InverseMel JaxLayer Lambda LayerNormalization LeakyReLU LinearFeatures
    LocallyConnected1D LocallyConnected2D LSTM LSTMCell LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2 Masking
    MaxoutDense Maximum MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D
    MaxPooling3D MelSpectrogram Merge Minimum MixUp MultiHeadAttention Multiply Normalization
    ParametricSoftplus Permute Pipeline PReLU RandAugment RandomBrightness RandomColorDegeneration
    RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
    RandomFourierFeatures RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert
    RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Resizing Reshape
    ReversibleEmbedding RMSNormalization RNN SeparableConv1D SeparableConv2D SeparableConvolution1D
    SeparableConvolution2D SimpleRNN SimpleRNNCell SlicingOpLambda Softmax Solarization
    SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization SReLU StackedRNNCells
    STFTSpectrogram StringLookup Subtract SyncBatchNormalization TensorFlowOpLayer
    TextVectorization TFClassMethodDispatcher TFOpLambda TFSMLayer ThresholdedReLU
    TimeDistributed TimeDistributedDense TorchModuleWrapper UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D
    Model Sequential Functional Graph AddLoss AddMetric ClassMethod GetItem InstanceMethod
    """.split()  # noqa: SIM905 - a table of 200 names reads better as text
)

MODELS = frozenset({"Model", "Sequential", "Functional"})

ACTIVATIONS = frozenset(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
    linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus
    softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
    """.split()  # noqa: SIM905 - a table of 200 names reads better as text
)
# Not shipped by any generation in the source era, so an old file that names them needed the user's
# function: Keras 2 has no `relu6`.
ACTIVATIONS_SINCE_KERAS_3 = frozenset(
    """
    celu glu hard_shrink hard_silu hard_swish hard_tanh leaky_relu log_sigmoid log_softmax relu6
    soft_shrink sparse_plus sparse_sigmoid sparsemax squareplus tanh_shrink threshold
    """.split()  # noqa: SIM905 - a table of 200 names reads better as text
)
